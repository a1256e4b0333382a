"""The wheel and the source distribution, built from a copy of this checkout and installed on a machine without Swift.

Needs Swift and a package index; takes a minute.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest
import v05
from conftest import ROOT
from tools import needs, run

PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")
VERSION = v05.__version__
SONAME = f"libv05.so.{v05.abi_version()}"

pytestmark = [pytest.mark.slow, needs("swift")]


@pytest.fixture(autouse=True)
def installed_packages_only(monkeypatch):
    """A PYTHONPATH that leads to this checkout would hide them."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What a fresh clone has: nothing hidden, nothing built."""
    folder = tmp_path_factory.mktemp("checkout")
    built = {ROOT / "python" / "v05" / "lib", ROOT / "python" / "v05" / "include", ROOT / "python" / "dist"}

    def leave_out(parent, names):
        return [
            name
            for name in names
            if name.startswith(".")
            or name == "__pycache__"
            or name.endswith(".egg-info")
            or Path(parent, name) in built
        ]

    shutil.copytree(ROOT, folder, ignore=leave_out, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """Python with the tools that build and check packages."""
    python = new_environment(tmp_path_factory.mktemp("builder"))
    result = subprocess.run(
        [python, "-m", "pip", "install", "-q", "build", "auditwheel"], capture_output=True, text=True
    )
    if result.returncode != 0:
        pytest.skip("no package index: " + result.stderr[-300:])
    return python


@pytest.fixture(scope="module")
def wheel(builder, checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(builder, "-m", "pip", "wheel", "--no-deps", "-w", folder, checkout / "python")
    return only_file(folder)


@pytest.fixture(scope="module")
def source_distribution(builder, checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    run(builder, "-m", "build", "--sdist", "-o", folder, checkout / "python")
    return only_file(folder)


def new_environment(folder):
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def constraints(builder, tmp_path_factory):
    """A torch without gigabytes for GPUs, where the index has one."""
    torch = "torch==2.13.0+cpu"
    asked = [builder, "-m", "pip", "install", "-q", "--dry-run", "--no-deps", torch]
    file = tmp_path_factory.mktemp("constraints") / "constraints.txt"
    file.write_text(torch if subprocess.run(asked, capture_output=True).returncode == 0 else "")
    return file


def only_file(folder):
    (file,) = folder.iterdir()
    return file


def content(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_path(folder):
    """An environment in which only `folder` is searched for programs."""
    return {**os.environ, "PATH": str(folder)}


def test_wheel_serves_every_python_of_this_platform(wheel):
    assert wheel.name == f"v05-{VERSION}-py3-none-{PLATFORM}.whl"
    assert b"Root-Is-Purelib: false" in content(wheel)[f"v05-{VERSION}.dist-info/WHEEL"]


def test_wheel_carries_library_header_and_license(wheel, checkout):
    files = content(wheel)
    assert files["v05/lib/libv05.so"].startswith(b"\x7fELF")
    assert files["v05/include/v05.h"] == (checkout / "include" / "v05.h").read_bytes()
    assert files[f"v05/lib/{SONAME}"] == files["v05/lib/libv05.so"]
    assert f"Version: {VERSION}".encode() in files["v05/lib/pkgconfig/v05.pc"]
    assert VERSION.encode() in files["v05/lib/cmake/v05/v05ConfigVersion.cmake"]
    assert files[f"v05-{VERSION}.dist-info/licenses/LICENSE"] == (checkout / "LICENSE").read_bytes()


def test_wheel_carries_every_file_of_the_package_and_no_other(wheel, checkout):
    package = checkout / "python" / "v05"
    cmake = {"v05/lib/cmake/v05/v05Config.cmake", "v05/lib/cmake/v05/v05ConfigVersion.cmake"}
    built = {"v05/lib/libv05.so", f"v05/lib/{SONAME}", "v05/lib/pkgconfig/v05.pc", "v05/include/v05.h"} | cmake
    ours = {str(path.relative_to(package.parent)) for path in package.rglob("*") if path.is_file()} | built
    assert {name for name in content(wheel) if not name.startswith(f"v05-{VERSION}.dist-info/")} == ours


def test_wheel_is_fit_for_manylinux2014(wheel, builder):
    """auditwheel names the oldest policy that the wheel keeps to: 2.17 is that of manylinux2014."""
    shown = run(builder, "-m", "auditwheel", "show", wheel)
    policies = [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)", shown)]
    assert policies and max(policies) <= (2, 17), shown


@pytest.mark.parametrize("extra", metadata("v05").get_all("Provides-Extra"))
def test_every_extra_installs_alone(wheel, extra, constraints, tmp_path):
    python = new_environment(tmp_path)
    run(python, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[{extra}]")
    assert "No broken requirements" in run(python, "-m", "pip", "check")
    assert run(python, "-c", "import v05; print(v05.advantages([1, 0], [7, 7], 0.5))") == "[0.5, -0.5]\n"


def test_the_oldest_numpy(wheel, tmp_path):
    """Of the dependencies of the package; it has wheels for Python up to 3.11."""
    (lower,) = re.findall(r"numpy>=([\d.]+)", " ".join(metadata("v05").get_all("Requires-Dist")))
    python = new_environment(tmp_path / "environment")
    oldest = [python, "-m", "pip", "install", "-q", "--only-binary=:all:", f"numpy=={lower}.*", "scipy", "hypothesis"]
    if subprocess.run([*oldest, "pytest", wheel], capture_output=True).returncode != 0:
        pytest.skip(f"numpy {lower} has no wheel for Python {sys.version_info[0]}.{sys.version_info[1]}")
    assert run(python, "-c", "import numpy; print(numpy.__version__)").startswith(f"{lower}.")
    files = [
        ROOT / "Tests" / "python" / "core" / f"test_{name}.py" for name in ("arrays", "history", "reference_values")
    ]
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", *files, cwd=tmp_path)


@pytest.mark.parametrize("pip", ["22.3", "24.2", "25.3"])
def test_wheel_installs_with_pip(pip, wheel, tmp_path):
    """24.1 to 25.3 took an extra named like a version for one; 22.3 is what Python 3.10 came with at the end."""
    python = new_environment(tmp_path)
    run(python, "-m", "pip", "install", "-q", f"pip=={pip}")
    run(python, "-m", "pip", "install", "-q", wheel)
    run(python, "-c", "import v05", cwd=tmp_path)


def test_source_distribution_is_complete(source_distribution, checkout):
    """Everything that `swift build` and the tests need, and nothing that a build leaves behind."""
    with tarfile.open(source_distribution) as archive:
        names = {name.removeprefix(f"v05-{VERSION}/") for name in archive.getnames()}
    for folder in ("Sources", "include", "Tests"):
        assert {str(path.relative_to(checkout)) for path in (checkout / folder).rglob("*") if path.is_file()} <= names
    assert {"Package.swift", "LICENSE", "README.md", "pyproject.toml", "build_library.py", "PKG-INFO"} <= names
    assert {"v05/__init__.py", "v05/py.typed"} <= names
    assert [name for name in names if name.endswith((".so", ".o", ".pyc")) or "/.build" in name] == []


def test_source_distribution_builds_the_same_wheel(source_distribution, wheel, builder, tmp_path):
    """Bit for bit, though in another folder: anybody can check that a wheel is made of its sources."""
    run(builder, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, source_distribution)
    rebuilt = only_file(tmp_path)
    assert rebuilt.name == wheel.name
    expected, found = content(wheel), content(rebuilt)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


def test_editable_install_uses_the_checkout(wheel, checkout, tmp_path):
    """After `wheel`, so that there is little left to build."""
    python = new_environment(tmp_path / "editable")
    run(python, "-m", "pip", "install", "-q", "-e", checkout / "python")
    path = run(python, "-c", "import v05; print(v05.library_path())", cwd=tmp_path).strip()
    assert path == str(checkout / "python" / "v05" / "lib" / "libv05.so")


# ------------------------------------------------------------------------------ without a usable Swift --


def failure_to_install(builder, checkout, folder):
    """What pip says where the only programs on PATH are those of `folder`."""
    result = subprocess.run(
        [builder, "-m", "pip", "install", "--no-deps", "--target", folder / "target", checkout / "python"],
        env=with_path(folder),
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    return result.stdout + result.stderr


def fake_swift(folder, commands):
    program = folder / "swift"
    program.write_text("#!/bin/sh\n" + commands)
    program.chmod(0o755)
    return program


def test_install_from_source_without_swift(builder, checkout, tmp_path):
    message = failure_to_install(builder, checkout, tmp_path)
    assert "v05: building from source needs Swift 6.3 or newer, and no `swift` is on PATH." in message
    assert "https://www.swift.org/install" in message


def test_install_from_source_with_an_old_swift(builder, checkout, tmp_path):
    program = fake_swift(tmp_path, 'echo "Swift version 5.9 (swift-5.9-RELEASE)"\n')
    message = failure_to_install(builder, checkout, tmp_path)
    assert f"v05: building from source needs Swift 6.3 or newer, {program} is 5.9." in message


def test_install_from_source_with_a_broken_swift(builder, checkout, tmp_path):
    program = fake_swift(tmp_path, "exit 1\n")
    message = failure_to_install(builder, checkout, tmp_path)
    assert f"needs Swift 6.3 or newer, {program} is of an unknown version." in message


def test_install_from_source_shows_what_the_compiler_says(builder, checkout, tmp_path):
    fake_swift(
        tmp_path,
        'if [ "$1" = --version ]; then echo "Swift version 6.3.1 (swift-6.3.1-RELEASE)"; exit; fi\n'
        'echo "error: out of disk space"; exit 1\n',
    )
    message = failure_to_install(builder, checkout, tmp_path)
    assert "swift build -c release --product v05 --traits Embedded" in message
    assert "error: out of disk space" in message
