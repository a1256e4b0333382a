"""A libv05.so that cannot be used: the message names the file, what is wrong with it and the cure."""

import mmap
import subprocess
import sys
from pathlib import Path

import pytest
import v05
from tools import any_compiler, run
from v05._core.library import load
from v05._core.prototypes import ABI_VERSION

LIBRARY = Path(v05.library_path())


def library_with(folder, source):
    """A shared library made of a line of C."""
    (folder / "source.c").write_text(source)
    run(any_compiler(), "-shared", "-fPIC", folder / "source.c", "-o", folder / "libv05.so")
    return folder / "libv05.so"


def message_of(path):
    with pytest.raises(v05.LibraryError) as raised:
        load(path)
    assert isinstance(raised.value, ImportError)
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_installed_library_loads():
    assert load().v05_abi_version() == load(LIBRARY).v05_abi_version() == ABI_VERSION


def test_missing(tmp_path):
    message = message_of(tmp_path / "libv05.so")
    assert "does not exist" in message
    assert "pip install" in message
    assert "Swift" in message


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"not a library\n" * 1000], ids=["empty", "ELF and no more", "text"]
)
def test_not_a_library(tmp_path, content):
    path = tmp_path / "libv05.so"
    path.write_bytes(content)
    message = message_of(path)
    assert "cannot be loaded" in message
    assert "Reinstall" in message


@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path, part):
    """As a full disk leaves it. In a process of its own: the system's loader dies of a bus error on such a file."""
    path = tmp_path / "libv05.so"
    content = LIBRARY.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    program = (
        "import pathlib, sys, v05\nfrom v05._core.library import load\n"
        "try: load(pathlib.Path(sys.argv[1]))\nexcept v05.LibraryError as error: print(error)\n"
    )
    message = run(sys.executable, "-c", program, path)
    assert str(path) in message
    assert "Reinstall" in message


def test_for_another_machine(tmp_path):
    """The machine is the 16-bit number at byte 18 of an ELF file."""
    path = tmp_path / "libv05.so"
    content = bytearray(LIBRARY.read_bytes())
    content[18:20] = (0xF3).to_bytes(2, "little")  # RISC-V
    path.write_bytes(content)
    assert "cannot be loaded" in message_of(path)


def is_mapped(path):
    """Whether this machine maps code from the file."""
    with open(path, "rb") as file:
        try:
            mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE).close()
        except PermissionError:
            return False
    return True


def test_file_system_without_execution(tmp_path):
    """As hardened containers mount /tmp. To install again would not help, and the message says what does."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a file system can be mounted by root alone")
    try:
        (tmp_path / "libv05.so").write_bytes(LIBRARY.read_bytes())
        if is_mapped(tmp_path / "libv05.so"):
            pytest.skip("an emulator maps code from a file system without execution")
        message = message_of(tmp_path / "libv05.so")
    finally:
        run("umount", "--lazy", tmp_path)
    assert "mounted noexec" in message
    assert "another one" in message
    assert "Reinstall" not in message


def test_another_abi(tmp_path):
    path = library_with(tmp_path, "unsigned v05_abi_version(void) { return 999; }\n")
    message = message_of(path)
    assert "999" in message
    assert f"needs {ABI_VERSION}" in message
    assert "Reinstall" in message


def test_another_library(tmp_path):
    message = message_of(library_with(tmp_path, "int some_other_function(void) { return 1; }\n"))
    assert "v05_abi_version" in message
    assert "Reinstall" in message


def test_older_release_of_the_same_abi(tmp_path):
    """New functions do not change the ABI version, so that an older library may lack some."""
    path = library_with(tmp_path, f"unsigned v05_abi_version(void) {{ return {ABI_VERSION}; }}\n")
    message = message_of(path)
    assert "v05_version" in message
    assert "Reinstall" in message


def test_importing_without_a_library_says_what_to_do(tmp_path):
    """The package copied out of the source folder, as with a PYTHONPATH that points there."""
    package = LIBRARY.parent.parent
    for path in package.rglob("*.py"):
        copy = tmp_path / "v05" / path.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    result = subprocess.run([sys.executable, "-c", "import v05"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert f"LibraryError: {tmp_path}" in result.stderr
    assert "pip install" in result.stderr
