"""libv05.so for every platform of the release, compiled by Swift and linked by its clang and lld on x86-64 Linux.

For x86-64 with glibc it is what `swift build` makes, the library that the tests run on. Swift has no Embedded standard
library for Linux on aarch64, but the one for aarch64 without a system serves: it calls nothing but memory functions.
musl resolves no symbol by version, and what it is linked with here has the names of musl and no code.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

PLATFORMS = ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "musllinux_1_2_x86_64", "musllinux_1_2_aarch64")

AARCH64 = Path("/usr/aarch64-linux-gnu")  # libc6-dev-arm64-cross
MUSL = Path("/lib/ld-musl-x86_64.so.1")  # musl
BUILD = ["build", "-c", "release", "--traits", "Embedded"]


def build_libraries(root, folder):
    """{platform: library} of the sources in `root`, in `folder`."""
    for path, package in ((AARCH64 / "include" / "math.h", "libc6-dev-arm64-cross"), (MUSL, "musl")):
        if not path.exists():
            raise SystemExit(f"release: {path} is missing: apt-get install {package}")
    swift = shutil.which("swift")
    if swift is None:
        raise SystemExit("release: Swift 6.3 or newer is needed on PATH: https://www.swift.org/install/linux/")
    folder.mkdir()
    tools = toolchain(swift)
    native, objects = built_for_x86_64(swift, root, folder / "x86_64")
    libraries = {"manylinux_2_17_x86_64": native}
    libraries["musllinux_1_2_x86_64"] = linked(tools, root, folder, "x86_64", "musl", objects)
    objects = compiled_for_aarch64(swift, root, folder / "aarch64")
    for kind, libc in (("manylinux_2_17", "gnu"), ("musllinux_1_2", "musl")):
        libraries[f"{kind}_aarch64"] = linked(tools, root, folder, "aarch64", libc, objects)
    return {platform: libraries[platform] for platform in PLATFORMS}


def toolchain(swift):
    """The folder of Swift's clang, lld and llvm-nm; `swift` itself may be a link or a launcher."""
    information = json.loads(run(swift, "-print-target-info"))
    return Path(information["paths"]["runtimeResourcePath"]).parents[1] / "bin"


def built_for_x86_64(swift, root, scratch):
    """The library of `swift build` and the object files that it is made of."""
    run(swift, *BUILD, "--product", "v05", "--scratch-path", scratch, cwd=root)
    listed = scratch / "release" / "v05.product" / "Objects.LinkFileList"
    return scratch / "release" / "libv05.so", [line.strip("'\"") for line in listed.read_text().splitlines()]


def compiled_for_aarch64(swift, root, scratch):
    run(
        swift,
        *BUILD,
        "--target",
        "CInterface",
        "--triple",
        "aarch64-none-none-elf",
        "--scratch-path",
        scratch,
        "-Xcc",
        "-fPIC",
        "-Xcc",
        "-isystem",
        "-Xcc",
        AARCH64 / "include",
        cwd=root,
        env={**os.environ, "V05_MACHINE": "aarch64"},
    )
    return sorted((scratch / "aarch64-none-none-elf" / "release").glob("*.build/*.o"))


def linked(tools, root, folder, machine, libc, objects):
    """With the options of Package.swift; pages of 64 KB, which aarch64 may have, are protected whole."""
    abi = re.search(r"#define V05_ABI_VERSION (\d+)", (root / "include" / "v05.h").read_text())[1]
    options = [
        "-T",
        root / "Sources" / "CInterface" / "library.ld",
        "-soname",
        f"libv05.so.{abi}",
        "-z",
        "defs",
        "-z",
        "now",
        "--gc-sections",
        "--icf=all",
        "--build-id=none",
        "-s",
        "--as-needed",
    ]
    if machine == "aarch64":
        options += ["-z", "max-page-size=65536", "-z", "common-page-size=65536"]
    if libc == "gnu":
        needed = ["-L", AARCH64 / "lib", "-lm", "-lc"]
    else:
        needed = [names_of_musl(tools, folder, machine)]
    library = folder / f"{machine}-{libc}" / "libv05.so"
    library.parent.mkdir()
    run(*linker(tools, machine, libc), *for_linker(options), *objects, *needed, "-o", library)
    return library


def names_of_musl(tools, folder, machine):
    """A library that defines what musl defines, under the name that musl has for `machine`."""
    names = run(tools / "llvm-nm", "--dynamic", "--defined-only", "--format=just-symbols", MUSL).split()
    source, library = folder / "musl.s", folder / f"libc.musl-{machine}.so.1"
    source.write_text("".join(f".globl {name}\n{name}:\n" for name in names))
    run(*linker(tools, machine, "musl"), *for_linker(["-soname", library.name]), source, "-o", library)
    return library


def linker(tools, machine, libc):
    return [tools / "clang", f"--target={machine}-linux-{libc}", "-shared", "-nostdlib", "-fuse-ld=lld"]


def for_linker(options):
    return [part for option in options for part in ("-Xlinker", option)]


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if result.returncode != 0:
        raise SystemExit("release: `" + " ".join(map(str, command)) + f"` failed:\n{result.stdout}{result.stderr}")
    return result.stdout
