"""Makes the release of the commit that is checked out: the source distribution and a wheel for each platform.

    python3 python/release [--out python/dist]

On x86-64 Linux with Swift 6.3, git and Debian's packages libc6-dev-arm64-cross and musl. Each wheel is made from the
source distribution, checked by auditwheel and listed in SHA256SUMS, with a bill of materials (CycloneDX) beside them.
The same commit, toolchain and requirements.txt give the same bits in any folder.
"""

import argparse
import hashlib
import os
import re
import subprocess
import tarfile
import tempfile
import time
import venv
from pathlib import Path

from libraries import build_libraries

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def run(*command, **options):
    result = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if result.returncode != 0:
        raise SystemExit("release: `" + " ".join(map(str, command)) + f"` failed:\n{result.stdout}")
    return result.stdout


def committed_sources(folder):
    """The files of the commit, and its time; what lies about in the checkout is no part of a release."""
    if changed := run("git", "status", "--porcelain", cwd=ROOT):
        raise SystemExit("release: it is made of a commit, and these files differ from it:\n" + changed)
    archive = folder / "sources.tar"
    run("git", "archive", "-o", archive, "HEAD", cwd=ROOT)
    unpack(archive, folder / "sources")
    return folder / "sources", run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()


def unpack(archive, folder):
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def tools(folder):
    """Python in an environment of its own with the pinned tools."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", HERE / "requirements.txt")
    return python


def build_wheel(python, sources, platform, library, out):
    """One wheel of the unpacked source distribution around a library that is built already."""
    environment = {**os.environ, "V05_PLATFORM": platform, "V05_LIBRARY": str(library)}
    run(python, "-m", "build", "--wheel", "--no-isolation", "-o", out, sources, env=environment)
    (wheel,) = out.glob(f"*-{platform}.whl")
    return wheel


def audit(python, wheel, platform):
    """auditwheel's name for the oldest systems that the wheel runs on; an error where it is newer than the wheel's."""
    report = " ".join(run(python, "-m", "auditwheel", "show", wheel).split())
    found = re.search('consistent with the following platform tag: "([^"]+)"', report)
    if found is None or not keeps(found[1], platform):
        raise SystemExit(f"release: auditwheel does not find that {wheel.name} is {platform}:\n{report}")
    return found[1]


def keeps(policy, platform):
    """Whether what holds of `policy` holds of `platform`: the same kind and machine, and no newer C library."""
    wanted, found = (re.fullmatch(r"(\w+linux)_(\d+)_(\d+)_(\w+)", name) for name in (platform, policy))
    if not found or found[1] != wanted[1] or found[4] != wanted[4]:
        return False
    return (int(found[2]), int(found[3])) <= (int(wanted[2]), int(wanted[3]))


def write_sums(out):
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(out.iterdir())]
    (out / "SHA256SUMS").write_text("".join(lines))
    return "".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="release", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "python" / "dist", help="an empty folder for the files")
    out = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise SystemExit(f"release: {out} must be empty")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="v05-release-") as name:
        folder = Path(name)
        sources, commit_time = committed_sources(folder)
        python = tools(folder / "tools")
        run(python, "-m", "build", "--sdist", "--no-isolation", "-o", out, sources / "python")
        (source_distribution,) = out.iterdir()
        unpack(source_distribution, folder)
        sources = folder / source_distribution.name.removesuffix(".tar.gz")
        print(f"{source_distribution.name}: {source_distribution.stat().st_size:,} bytes", flush=True)
        for platform, library in build_libraries(sources, folder / "libraries").items():
            wheel = build_wheel(python, sources, platform, library, out)
            policy = audit(python, wheel, platform)
            print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, auditwheel: {policy}", flush=True)
        run(python, HERE / "bill_of_materials.py", commit_time, out)
    print(write_sums(out), end="")
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
