"""The Swift files stand in layers: by the names that one declares and another uses there is no circle, and no more than
ten levels from the first brick to the roof."""

import re
from functools import cache

import pytest
from conftest import ROOT

MOST_LEVELS = 10
# TokenPassesAVX2 is TokenPasses once more, by links.
IMPORTS = {
    "TokenPasses": {"CLibrary"},
    "Estimation": {"CLibrary", "TokenPasses", "TokenPassesAVX2"},
    "Allocation": {"CLibrary", "Estimation"},
    "CInterface": {"Allocation", "CLibrary", "CV05", "Estimation"},
}
SOURCES = sorted(path for path in (ROOT / "Sources").rglob("*.swift") if not path.is_symlink())
DECLARATION = re.compile(
    r"^(?:@\w+(?:\([^)]*\))? |public |private |fileprivate |final )*"
    r"(?:struct|enum|class|protocol|func|let|var|typealias) (\w+)",
    re.MULTILINE,
)


def code(path):
    """Without comments and texts, whose words are no use of a name."""
    return re.sub(r'"(?:\\.|[^"\\\n])*"|//[^\n]*', " ", path.read_text())


def module_of(path):
    return path.relative_to(ROOT / "Sources").parts[0]


def declared(text):
    """Names at top level: what is indented belongs to something that has a name there."""
    return set(DECLARATION.findall(text))


def private(text):
    return set(re.findall(r"^(?:@\w+(?:\([^)]*\))? )*(?:private|fileprivate) \w+ (\w+)", text, re.MULTILINE))


@pytest.fixture(scope="module")
def uses():
    """{file: {files whose names it takes: those names}}"""
    texts = {path: code(path) for path in SOURCES}
    homes = {}
    for path, text in texts.items():
        for name in declared(text) - private(text):
            homes.setdefault(name, set()).add(path)
    result = {}
    for path, text in texts.items():
        own = declared(text)
        # A name behind a point or before a colon is a member or a label; types are written with a capital.
        words = set(re.findall(r"(?<![.\w])[A-Za-z_]\w*(?!\w|: )", text)) | set(re.findall(r"(?<![.\w])[A-Z]\w*", text))
        found = {}
        for name in words - own:
            known = homes.get(name, set())
            near = {home for home in known if module_of(home) == module_of(path)}
            for home in near or {home for home in known if module_of(home) in IMPORTS[module_of(path)]}:
                found.setdefault(home, set()).add(name)
        result[path] = found
    return result


def test_something_is_read(uses):
    assert len(uses) > 60 and sum(map(len, uses.values())) > 150


def test_no_circle_and_few_levels(uses):
    under_way = []

    @cache
    def level(path):
        if path in under_way:
            circle = [*under_way[under_way.index(path) :], path]
            pytest.fail(
                "files need each other: "
                + ", ".join(f"{a.name} takes {sorted(uses[a][b])} from {b.name}" for a, b in zip(circle, circle[1:]))
            )
        under_way.append(path)
        result = 1 + max(map(level, uses[path]), default=0)
        under_way.pop()
        return result

    levels = {path: level(path) for path in uses}
    highest = max(levels.values())
    top = [path.name for path, found in levels.items() if found == highest]
    assert highest <= MOST_LEVELS, f"{top} stand on level {highest}"


@pytest.mark.parametrize("module", IMPORTS)
def test_modules_import_downwards(module):
    imports = {
        name
        for path in SOURCES
        if module_of(path) == module
        for name in re.findall(r"^import (\w+)", path.read_text(), re.MULTILINE)
    }
    assert imports <= IMPORTS[module]


def test_files_called_interface_export():
    folder = ROOT / "Sources" / "CInterface"
    exports = {path.name for path in folder.glob("*.swift") if "@_cdecl" in path.read_text()}
    named = {path.name for path in folder.glob("*Interface.swift")}
    assert named <= exports
    assert exports - named <= {"Status.swift", "Version.swift"}
