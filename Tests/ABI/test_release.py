"""The release, made twice by its command: the same bits in any folder, and on every platform the same answers.

Needs Swift, Debian's cross compiler and emulator, and a package index; takes ten minutes.
"""

import email
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import v05
import v05_header
from conftest import ROOT, reference_values
from emulation import Emulated, needs_emulation
from shared_object import ALLOWED_IMPORTS, SharedObject
from tools import STRICT, needs, run
from v05._core import prototypes as c
from v05._core.batch import estimation_options
from v05._core.calibration import calibration_struct

HERE = Path(__file__).parent
CORE = ROOT / "Tests" / "python" / "core"
VERSION = v05.__version__
NEEDED = {
    "manylinux_2_17_x86_64": {"libc.so.6", "libm.so.6"},
    "manylinux_2_17_aarch64": {"libc.so.6", "libm.so.6", "ld-linux-aarch64.so.1"},
    "musllinux_1_2_x86_64": {"libc.musl-x86_64.so.1"},
    "musllinux_1_2_aarch64": {"libc.musl-aarch64.so.1"},
}
WHEELS = {platform: f"v05-{VERSION}-py3-none-{platform}.whl" for platform in NEEDED}

pytestmark = [
    pytest.mark.slow,
    needs("swift"),
    needs("git"),
    pytest.mark.skipif(
        not Path("/usr/aarch64-linux-gnu/include/math.h").exists(), reason="libc6-dev-arm64-cross is not installed"
    ),
    pytest.mark.skipif(not Path("/lib/ld-musl-x86_64.so.1").exists(), reason="musl is not installed"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a release is made of a commit"),
]


@pytest.fixture(autouse=True)
def installed_packages_only(monkeypatch):
    """A PYTHONPATH that leads to this checkout would hide them."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


def make_release(folder, mask):
    """Of a clone in `folder`, which has no more than what was committed."""
    run("git", "clone", "-q", ROOT, folder / "clone")
    command = f"umask {mask}; exec '{sys.executable}' python/release --out '{folder / 'out'}'"
    print(run("sh", "-c", command, cwd=folder / "clone"))
    return folder / "out"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return make_release(tmp_path_factory.mktemp("release"), "022")


@pytest.fixture(scope="module")
def libraries(release, tmp_path_factory):
    """{platform: folder of the unpacked wheel's library}"""
    folders = {}
    for platform, wheel in WHEELS.items():
        folder = tmp_path_factory.mktemp(platform)
        with zipfile.ZipFile(release / wheel) as archive:
            archive.extractall(folder)
        folders[platform] = folder / "v05" / "lib"
    return folders


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    return Emulated(tmp_path_factory.mktemp("aarch64"))


# ---------------------------------------------------------------------------------------------- the files --


def test_is_complete(release):
    expected = {*WHEELS.values(), f"v05-{VERSION}.tar.gz", f"v05-{VERSION}.cdx.json", "SHA256SUMS"}
    assert {path.name for path in release.iterdir()} == expected
    checked = run("sha256sum", "-c", "--strict", "SHA256SUMS", cwd=release)
    assert {line.split(":")[0] for line in checked.splitlines()} == expected - {"SHA256SUMS"}


def test_another_folder_gives_the_same_bits(release, tmp_path):
    """And another umask, and a name with a space and a letter beyond ASCII."""
    folder = tmp_path / "elsewhere é"
    folder.mkdir()
    again = make_release(folder, "077")
    assert (again / "SHA256SUMS").read_text() == (release / "SHA256SUMS").read_text()


def test_what_is_not_committed_is_refused(tmp_path):
    run("git", "clone", "-q", ROOT, tmp_path / "clone")
    (tmp_path / "clone" / "README.md").write_text("changed")
    result = subprocess.run(
        [sys.executable, "python/release", "--out", tmp_path / "out"],
        cwd=tmp_path / "clone",
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "README.md" in result.stderr


def test_bill_of_materials(release):
    bill = json.loads((release / f"v05-{VERSION}.cdx.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "v05")
    components = {component["name"]: component for component in bill["components"]}
    required = {name for name, component in components.items() if component.get("scope") == "required"}
    assert required == {"numpy"}
    with zipfile.ZipFile(release / WHEELS["musllinux_1_2_x86_64"]) as archive:
        metadata = email.message_from_bytes(archive.read(f"v05-{VERSION}.dist-info/METADATA"))
    named = {re.match(r"[\w-]+", line)[0] for line in metadata.get_all("Requires-Dist")} - {"v05"}
    assert named <= components.keys()
    sums = dict(reversed(line.split("  ")) for line in (release / "SHA256SUMS").read_text().splitlines())
    for name in (*WHEELS.values(), f"v05-{VERSION}.tar.gz"):
        assert components[name]["hashes"][0]["content"] == sums[name]


# ------------------------------------------------------------------------------------------ the libraries --


@pytest.mark.parametrize("platform", NEEDED)
def test_library(platform, libraries):
    library = SharedObject(libraries[platform] / "libv05.so")
    assert library.exports() == {function.name for function in v05_header.FUNCTIONS}
    assert library.imports() <= ALLOWED_IMPORTS
    assert set(library.dynamic("NEEDED")) == NEEDED[platform]
    assert library.dynamic("SONAME") == [f"libv05.so.{v05.abi_version()}"]
    assert set(library.dynamic("RUNPATH") + library.dynamic("RPATH")) <= {"$ORIGIN"}
    assert re.findall(rb"(?<![\w/.])/[a-z][\w.+-]*/[\w.+-]+", library.content) == []
    library.assert_hardened()
    # The kernels of large aarch64 machines have pages of 64 KB.
    page = 64 * 1024 if platform.endswith("aarch64") else 4 * 1024
    assert min(library.page_sizes()) >= page


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-objdump") is None, reason="binutils for aarch64 are not installed")
@pytest.mark.parametrize("platform", [platform for platform in NEEDED if platform.endswith("aarch64")])
def test_library_has_no_trap(platform, libraries):
    code = run("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", libraries[platform] / "libv05.so")
    assert len(re.findall(r"\tret\b", code)) > 50
    assert re.findall(r"\t(?:brk|udf)\b.*", code) == []


# --------------------------------------------------------------------------------------------- the answers --


DEFAULTS = {
    "rule": "v05",
    "leave_one_out": False,
    "scale": "none",
    "ddof": 1,
    "epsilon": None,
    "singleton": "zero",
    "test": "bound",
    "level": 0.05,
    "check_fit": True,
}


def replayed_cases():
    """Every reference case that is not refused, as Tests/ABI/replay.c reads them, and what v05 answers here."""
    columns = ("mean", "prior", "weight", "baseline", "bias_squared", "mse", "z", "p_value")
    questions, answers = [], []
    for case in reference_values("estimation.json"):
        options = DEFAULTS | case["options"]
        interval = tuple(map(float, options.pop("reward_range")))
        rewards, groups = np.array(case["rewards"], np.float64), np.array(case["groups"], np.int64)
        prior = case["prior"] and np.array([np.nan if value is None else value for value in case["prior"]])
        mask = case["mask"] and np.array(case["mask"], np.uint8)
        calibration = case["calibration"] and v05.Calibration(**case["calibration"])
        struct = calibration_struct(calibration, interval)._obj if calibration else c.Calibration()
        given = [prior is not None, mask is not None, calibration is not None]
        questions += [
            np.array([len(rewards), *given], np.int64).tobytes(),
            bytes(estimation_options(interval, **options)),
            bytes(struct),
            rewards.tobytes(),
            groups.tobytes(),
            b"" if prior is None else prior.tobytes(),
            b"" if mask is None else mask.tobytes(),
        ]
        found = v05.estimate(
            rewards,
            groups,
            prior,
            reward_range=interval,
            mask=None if mask is None else mask.astype(bool),
            calibration=calibration,
            **options,
        )
        answers += [np.array([len(found.groups)]), found.advantages, *(getattr(found, name) for name in columns)]
    return b"".join(questions), b"".join(np.ascontiguousarray(array).tobytes() for array in answers)


class Answers:
    """Of the program Tests/ABI/replay.c: reference values, and saved checkpoints that it loads and saves again."""

    def __init__(self, *command):
        questions, self.expected = replayed_cases()
        self.estimates = self._output(command, "estimate", questions)
        saved = sorted((ROOT / "Tests" / "SavedCheckpoints").glob("*.bin"))
        self.checkpoints = {path.stem: self._output(command, path.stem, path.read_bytes()) for path in saved}

    def _output(self, command, kind, text):
        result = subprocess.run([*map(str, command), kind], input=text, capture_output=True)
        assert result.returncode == 0, result.stderr
        return result.stdout


def assert_same_answers(found, here):
    """Bit for bit what Python gets, and what the same program gets here."""
    assert found.estimates == found.expected
    assert found.checkpoints == here.checkpoints


def linked_with(library):
    """Options for a compiler; the linker need not find what the library needs."""
    return ["-I", ROOT / "include", "-L", library, "-lv05", "-Wl,-rpath," + str(library), "-Wl,--allow-shlib-undefined"]


@pytest.fixture(scope="module")
def here(libraries, tmp_path_factory):
    """The answers with the wheel that most will install."""
    program = tmp_path_factory.mktemp("replay") / "replay"
    run("cc", "-std=c11", *STRICT, HERE / "replay.c", *linked_with(libraries["manylinux_2_17_x86_64"]), "-o", program)
    return Answers(program)


def test_manylinux_x86_64_answers(here):
    assert here.estimates == here.expected
    assert here.checkpoints and all(here.checkpoints.values())


@needs("musl-gcc")
def test_musllinux_x86_64_answers(here, libraries, tmp_path):
    library = libraries["musllinux_1_2_x86_64"]
    run("musl-gcc", "-std=c11", *STRICT, HERE / "replay.c", *linked_with(library), "-o", tmp_path / "replay")
    assert_same_answers(Answers(tmp_path / "replay"), here)


class TestAarch64:
    pytestmark = needs_emulation

    @pytest.mark.parametrize("page", [4096, 65536])
    def test_manylinux_answers(self, page, here, libraries, emulated, tmp_path):
        library = libraries["manylinux_2_17_aarch64"]
        run(
            "aarch64-linux-gnu-gcc",
            "-std=c11",
            *STRICT,
            HERE / "replay.c",
            *linked_with(library),
            "-o",
            tmp_path / "replay",
        )
        assert_same_answers(Answers("qemu-aarch64", "-p", page, "-L", emulated.root, tmp_path / "replay"), here)

    def test_musllinux_answers(self, here, libraries, emulated, tmp_path):
        """With pages of 4 KB; with larger ones qemu's writev returns 0 to musl, whatever the program."""
        library = libraries["musllinux_1_2_aarch64"]
        include = emulated.root / "usr" / "include" / "aarch64-linux-musl"
        start = emulated.root / "usr" / "lib" / "aarch64-linux-musl"
        run(
            "aarch64-linux-gnu-gcc",
            "-std=c11",
            *STRICT,
            "-nostdinc",
            "-isystem",
            include,
            "-nostdlib",
            start / "Scrt1.o",
            start / "crti.o",
            HERE / "replay.c",
            *linked_with(library),
            emulated.root / "lib" / "ld-musl-aarch64.so.1",
            "-lgcc",
            start / "crtn.o",
            "-Wl,-dynamic-linker,/lib/ld-musl-aarch64.so.1",
            "-o",
            tmp_path / "replay",
        )
        assert_same_answers(Answers("qemu-aarch64", "-L", emulated.root, tmp_path / "replay"), here)

    def test_python(self, release, emulated):
        """pip takes the wheel; the gates of the library, reference values and saved checkpoints pass."""
        emulated.install("numpy", "pytest", "hypothesis", "pip")
        run(
            emulated.python,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            emulated.packages,
            release / WHEELS["manylinux_2_17_aarch64"],
        )
        program = "import platform, v05; print(platform.machine(), v05.advantages([1, 0, 1, 1], [7, 7, 7, 7], .5))"
        assert run(emulated.python, "-c", program) == "aarch64 [0.5, -0.5, 0.5, 0.5]\n"
        files = [
            *(HERE / f"test_{name}.py" for name in ("exports", "library_loading", "process")),
            *(CORE / f"test_{name}.py" for name in ("reference_values", "checkpoints")),
        ]
        # What the system says of the signals of a process is what the emulator does with them.
        without = ["-k", "not signal_handlers"]
        found = run(
            emulated.python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *without,
            *files,
            env=emulated.environment(),
            cwd=ROOT,
        )
        print(found)
        assert re.search(r"\d{3} passed", found)
