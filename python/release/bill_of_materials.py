"""Writes the bill of materials (CycloneDX 1.6) of the packages in a folder: what they hold, need and were made with.

    bill_of_materials.py COMMIT_TIME FOLDER

The time is that of the commit and nothing is random, so that the same packages have the same bill.
"""

import hashlib
import shutil
import subprocess
import sys
import uuid
import zipfile
from datetime import datetime, timezone
from email.parser import BytesParser
from importlib.metadata import version
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement


def metadata_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(archive.read(name))


def package(metadata):
    purl = PackageURL("pypi", name=metadata["Name"], version=metadata["Version"])
    return Component(
        name=metadata["Name"],
        version=metadata["Version"],
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        description=metadata["Summary"],
        licenses=[LicenseExpression(metadata["License-Expression"])],
    )


def file_component(path):
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    return Component(
        name=path.name,
        type=ComponentType.FILE,
        bom_ref=path.name,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content)],
    )


def swift_version():
    shown = subprocess.run([shutil.which("swift"), "--version"], capture_output=True, text=True, check=True).stdout
    return shown.partition("Swift version ")[2].split(" ")[0]


def standard_library():
    """Parts of it are compiled into libv05.so; it is the only code there that is not ours."""
    number = swift_version()
    return Component(
        name="Swift standard library, Embedded",
        version=number,
        type=ComponentType.LIBRARY,
        bom_ref="swift-standard-library",
        purl=PackageURL("github", "swiftlang", "swift", f"swift-{number}-RELEASE"),
        licenses=[LicenseExpression("Apache-2.0 WITH Swift-exception")],
    )


def needed(metadata):
    """What pip installs beside it, by name and range: no version is fixed. With an extra, it is optional."""
    found = {}
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.name != metadata["Name"]:
            found.setdefault(requirement.name, []).append(requirement)
    for name, requirements in sorted(found.items()):
        always = any(requirement.marker is None for requirement in requirements)
        purl = PackageURL("pypi", name=name)
        yield Component(
            name=name,
            type=ComponentType.LIBRARY,
            purl=purl,
            bom_ref=str(purl),
            scope=ComponentScope.REQUIRED if always else ComponentScope.OPTIONAL,
            properties=[Property(name="v05:requirement", value=str(requirement)) for requirement in requirements],
        )


def bill(folder, commit_time):
    packages = sorted(folder.iterdir())
    metadata = metadata_of(next(path for path in packages if path.suffix == ".whl"))
    result = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"v05 {metadata['Version']} {commit_time}"))
    result.metadata.timestamp = datetime.fromtimestamp(commit_time, timezone.utc)
    result.metadata.component = package(metadata)
    for name, number in (("Swift", swift_version()), ("hatchling", version("hatchling")), ("build", version("build"))):
        result.metadata.tools.components.add(Component(name=name, version=number, type=ComponentType.APPLICATION))
    inside, beside = standard_library(), list(needed(metadata))
    for component in [inside, *beside, *map(file_component, packages)]:
        result.components.add(component)
    result.register_dependency(result.metadata.component, [inside, *beside])
    return result, metadata


def main():
    commit_time, folder = int(sys.argv[1]), Path(sys.argv[2])
    found, metadata = bill(folder, commit_time)
    text = JsonV1Dot6(found).output_as_string(indent=2) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"the bill of materials is no valid CycloneDX: {error}")
    (folder / f"v05-{metadata['Version']}.cdx.json").write_text(text)


if __name__ == "__main__":
    main()
