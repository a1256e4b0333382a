"""Builds libv05.so with Swift and bundles it, its header and its pkg-config file with the package."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PKG_CONFIG = """prefix=${{pcfiledir}}/../..
libdir=${{prefix}}/lib
includedir=${{prefix}}/include

Name: v05
Description: Baselines for reinforcement learning with verifiable rewards
Version: {version}
Libs: -L${{libdir}} -lv05 -Wl,-rpath,${{libdir}}
Cflags: -I${{includedir}}
"""


class BuildLibrary(BuildHookInterface):
    def initialize(self, version, build_data):
        root = self.package_root()
        library = self.build(root)
        package = Path(self.root) / "v05"
        (package / "lib" / "pkgconfig").mkdir(parents=True, exist_ok=True)
        (package / "include").mkdir(exist_ok=True)
        # A copy under another name, then a rename: a process that has the old library mapped keeps it.
        copy = package / "lib" / "libv05.so.new"
        shutil.copyfile(library, copy)
        copy.replace(package / "lib" / "libv05.so")
        shutil.copyfile(root / "include" / "v05.h", package / "include" / "v05.h")
        (package / "lib" / "pkgconfig" / "v05.pc").write_text(PKG_CONFIG.format(version=self.metadata.version))
        # Above the project's folder, where pyproject.toml cannot reach; in an sdist beside it.
        metadata = f"{self.metadata.name}-{self.metadata.version}.dist-info"
        build_data["force_include"][str(root / "LICENSE")] = f"{metadata}/licenses/LICENSE"
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")

    def package_root(self):
        """The folder of Package.swift: above this one in the repository, this one in an sdist."""
        for folder in (Path(self.root), Path(self.root).parent):
            if (folder / "Package.swift").exists():
                return folder
        raise SystemExit("v05: Package.swift is missing beside or above " + self.root)

    def build(self, root):
        swift = shutil.which("swift")
        if swift is None:
            raise SystemExit(
                "v05: building from source needs Swift 6.3 or newer, and no `swift` is on PATH. "
                "Install it from https://www.swift.org/install/linux/, or install a wheel of v05."
            )
        version = subprocess.run([swift, "--version"], capture_output=True, text=True).stdout
        number = version.partition("Swift version ")[2].split(" ")[0].split("-")[0]
        if tuple(int(part) for part in number.split(".")[:2] if part.isdigit()) < (6, 3):
            found = number or "of an unknown version"
            raise SystemExit(f"v05: building from source needs Swift 6.3 or newer, {swift} is {found}.")
        command = [swift, "build", "-c", "release", "--product", "v05", "--traits", "Embedded",
                   "--scratch-path", str(root / ".build-embedded")]
        result = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            raise SystemExit("v05: `" + " ".join(command) + "` failed:\n" + result.stdout)
        return root / ".build-embedded" / "release" / "libv05.so"
