"""Builds libv05.so with Swift and bundles it with its header and the files by which pkg-config and CMake find both.

Two variables of the environment, together, make a wheel for another machine: V05_LIBRARY is the library, built already,
and V05_PLATFORM the platform that the wheel's name tells (python/release sets them).
"""

import os
import re
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

CMAKE_CONFIG = """get_filename_component(v05_prefix "${{CMAKE_CURRENT_LIST_DIR}}/../../.." ABSOLUTE)
if(NOT TARGET v05::v05)
    add_library(v05::v05 SHARED IMPORTED)
    set_target_properties(v05::v05 PROPERTIES
        IMPORTED_LOCATION "${{v05_prefix}}/lib/libv05.so"
        IMPORTED_SONAME "libv05.so.{abi}"
        INTERFACE_INCLUDE_DIRECTORIES "${{v05_prefix}}/include")
endif()
unset(v05_prefix)
"""

# A program that was written for a release runs with every later one of the same ABI.
CMAKE_VERSION = """set(PACKAGE_VERSION "{version}")
if(PACKAGE_FIND_VERSION VERSION_LESS_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
endif()
"""


class BuildLibrary(BuildHookInterface):
    def initialize(self, version, build_data):
        root = self.package_root()
        library = os.environ.get("V05_LIBRARY") or self.build(root)
        header = root / "include" / "v05.h"
        self.bundle(library, header, Path(self.root) / "v05")
        # Above the project's folder, where pyproject.toml cannot reach; in an sdist beside it.
        metadata = f"{self.metadata.name}-{self.metadata.version}.dist-info"
        build_data["force_include"][str(root / "LICENSE")] = f"{metadata}/licenses/LICENSE"
        build_data["pure_python"] = False
        platform = os.environ.get("V05_PLATFORM") or sysconfig.get_platform()
        build_data["tag"] = "py3-none-" + platform.replace("-", "_").replace(".", "_")

    def bundle(self, library, header, package):
        """Puts into `package` what a C program or Python needs of the library."""
        abi = re.search(r"#define V05_ABI_VERSION (\d+)", header.read_text())[1]
        numbers = {"version": self.metadata.version, "abi": abi}
        for folder in ("lib/pkgconfig", "lib/cmake/v05", "include"):
            (package / folder).mkdir(parents=True, exist_ok=True)
        # A copy under another name, then a rename: a process that has the old library mapped keeps it.
        copy = package / "lib" / "libv05.so.new"
        shutil.copyfile(library, copy)
        copy.replace(package / "lib" / "libv05.so")
        # The name by which programs linked with libv05.so ask for it. A wheel, which holds no links, gets a copy: what
        # linkers alone understand could not be loaded, and 70 KB are little. A process still maps the library once.
        link = package / "lib" / f"libv05.so.{abi}"
        link.unlink(missing_ok=True)
        link.symlink_to("libv05.so")
        shutil.copyfile(header, package / "include" / "v05.h")
        (package / "lib" / "pkgconfig" / "v05.pc").write_text(PKG_CONFIG.format_map(numbers))
        (package / "lib" / "cmake" / "v05" / "v05Config.cmake").write_text(CMAKE_CONFIG.format_map(numbers))
        (package / "lib" / "cmake" / "v05" / "v05ConfigVersion.cmake").write_text(CMAKE_VERSION.format_map(numbers))

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
        command = [
            swift,
            "build",
            "-c",
            "release",
            "--product",
            "v05",
            "--traits",
            "Embedded",
            "--scratch-path",
            str(root / ".build-embedded"),
        ]
        result = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            raise SystemExit("v05: `" + " ".join(command) + "` failed:\n" + result.stdout)
        return root / ".build-embedded" / "release" / "libv05.so"
