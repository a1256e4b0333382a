"""Linux on aarch64 under qemu: Debian's Python, both C libraries and a compiler, unpacked into a folder."""

import os
import subprocess
import sys

import pytest
from tools import needs, run

LOADABLE = ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
PACKAGES = ("python3", "libstdc++6", "musl-dev")

needs_emulation = [needs("qemu-aarch64"), needs("aarch64-linux-gnu-gcc"), needs("apt-get"), needs("dpkg")]


class Emulated:
    """`root`: what a machine would have at /. `python`: a command that runs there, its packages in `packages`."""

    def __init__(self, folder):
        self.root = folder / "root"
        self.packages = folder / "packages"
        self.programs = folder / "programs"
        self.python = self.programs / "python"
        self._unpack(folder / "apt")
        self.programs.mkdir()
        # Python runs under the path of this program, so that what starts sys.executable gets the emulation again.
        self._program(
            "python",
            f'qemu-aarch64 -0 "$0" -L {self.root} -E PYTHONHOME={self.root}/usr '
            f"-E PYTHONPATH={self.packages} -E OPENBLAS_NUM_THREADS=1 {self.root}/usr/bin/python3",
        )
        self._program("cc", "aarch64-linux-gnu-gcc")

    def _program(self, name, command):
        path = self.programs / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)

    def _unpack(self, apt):
        """With the sources and keys of this machine, and lists and a status of their own."""
        for folder in (apt / "state/lists/partial", apt / "cache/archives/partial", self.root):
            folder.mkdir(parents=True)
        (apt / "status").touch()
        (apt / "apt.conf").write_text(
            f'APT::Architecture "arm64";\nAPT::Architectures {{ "arm64"; }};\nDir::State "{apt}/state";\n'
            f'Dir::State::status "{apt}/status";\nDir::Cache "{apt}/cache";\nAPT::Sandbox::User "root";\n'
        )
        environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
        install = ["install", "-y", "-qq", "--no-install-recommends", "--download-only", *PACKAGES]
        for arguments in (["update", "-qq"], install):
            result = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True)
            if result.returncode != 0:
                pytest.skip("Debian's packages for aarch64 cannot be had: " + result.stderr[-300:])
        for package in (apt / "cache" / "archives").glob("*.deb"):
            run("dpkg", "-x", package, self.root)

    def install(self, *requirements):
        """From the package index, as files: pip is much faster outside."""
        number = run(self.python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
        platforms = [part for platform in LOADABLE for part in ("--platform", platform)]
        run(
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--target",
            self.packages,
            "--only-binary=:all:",
            *platforms,
            "--python-version",
            number,
            *requirements,
        )

    def environment(self):
        """In which `cc` compiles for aarch64."""
        return {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def run(self, program, *arguments, **options):
        return run("qemu-aarch64", "-L", self.root, program, *arguments, **options)
