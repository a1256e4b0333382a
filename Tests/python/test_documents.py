"""Nothing in the documents, or in comments that cite them, points nowhere."""

import ast
import re

import pytest
from conftest import ROOT

OWN = ("include", "Sources", "Tests", "python")
TEXT = {".md", ".h", ".c", ".cpp", ".swift", ".py", ".toml"}
METHOD = ROOT / "python" / "docs" / "method.md"
PACKAGE = ROOT / "python" / "v05"
# "method section 5b", "method sections 1, 3 and 7", also where a line of comment ends in between.
CITATION = re.compile(r"\b[Mm]ethod[\s/#*]+sections?[\s/#*]+(\d+b?(?:(?:,|[\s/#*]+and|[\s/#*]+to)[\s/#*]+\d+b?)*)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def texts():
    """Every text file of the project: (path, text)."""
    files = list(ROOT.glob("*.md")) + [path for folder in OWN for path in (ROOT / folder).rglob("*")]
    for path in sorted(files):
        inside = path.relative_to(ROOT).parts
        if path.suffix in TEXT and not any(part.startswith(".") or part in ("build", "lib") for part in inside):
            yield path, path.read_text(encoding="utf-8")


def headings(text):
    """Headings of a Markdown text, without those in blocks of code."""
    return re.findall(r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)


def anchor(heading):
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections(text):
    return {number for number in re.findall(r"^## (\d+b?)\. ", text, flags=re.M)}


def cited(text):
    """Section numbers that a text cites; "13 to 15" cites its ends."""
    return [number for found in CITATION.findall(text) for number in re.findall(r"\d+b?", found)]


def dangling_links(path, text):
    """Relative links of a Markdown file that lead to no file, or to no heading of one."""
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        goal = (path.parent / name).resolve() if name else path
        if not goal.exists() or fragment and fragment not in map(anchor, headings(goal.read_text(encoding="utf-8"))):
            yield target


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("(method section 5b)", ["5b"]),
        ("Method sections 1, 3, 5 and 7.", ["1", "3", "5", "7"]),
        ("/// as in method\n/// section 12 says", ["12"]),
        ("# method sections 13 to 15", ["13", "15"]),
        ("a method, section 5", []),
    ],
)
def test_how_a_section_is_cited(text, numbers):
    assert cited(text) == numbers


def test_sections_that_are_cited_exist():
    found = [(path, number) for path, text in texts() if path.name != "test_documents.py" for number in cited(text)]
    assert len({path for path, _ in found}) > 20, "citations are not found any more"
    known = sections(METHOD.read_text(encoding="utf-8"))
    assert known == {str(number) for number in range(17)} | {"5b"}
    assert [(str(path.relative_to(ROOT)), number) for path, number in found if number not in known] == []


def test_what_counts_as_a_dangling_link(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# The page: `one`\n\n```\n# no heading\n```\n")
    links = "[a](page.md) [b](#the-page-one) [c](no.md) ![d](no.png) [e](page.md#no-heading) [f](https://v05.example/x)"
    assert list(dangling_links(page, links)) == ["no.md", "no.png", "page.md#no-heading"]


def test_links_of_documents_lead_somewhere():
    pages = [(path, text) for path, text in texts() if path.suffix == ".md"]
    assert len(pages) > 15
    assert [(path.name, target) for path, text in pages for target in dangling_links(path, text)] == []


def test_pages_that_code_names_exist():
    """A message or a docstring that sends a reader to "docs/verl.md"."""
    pages = {path.name for path, _ in texts() if path.suffix == ".md"}
    named = [
        (path, name)
        for path, text in texts()
        if path.suffix != ".md" and path.name != "test_documents.py"
        for name in re.findall(r"\bdocs/([\w-]+\.md)\b", text)
    ]
    assert named
    assert [(str(path.relative_to(ROOT)), name) for path, name in named if name not in pages] == []


def test_first_screen_of_the_readme_is_short():
    """A reader sees code after 150 words and 10 numbers at most."""
    before = re.split(r"^```", (ROOT / "README.md").read_text(encoding="utf-8"), maxsplit=1, flags=re.M)[0]
    words = re.sub(r"\]\([^)]*\)", "]", before).split()
    assert len(words) <= 150
    assert sum(bool(re.search(r"(?<!v)\d", word)) for word in words) <= 10


def map_of_the_code():
    """Paths that the README's map names, below its line of the data flow."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where things are\n")[2]
    lines = section.partition("\n## ")[0].partition("Baseline\n")[2]
    folder = ROOT
    for indent, names in re.findall(r"^( {4}| {8})(\S+(?: \S+)*) {2,}\S", lines, flags=re.M):
        yield from ((ROOT if len(indent) == 4 else folder) / name for name in names.split())
        if len(indent) == 4:
            folder = ROOT / names


def test_the_map_of_the_code_is_true_and_whole():
    named = set(map_of_the_code())
    assert len(named) > 20
    assert [str(path) for path in named if not path.exists()] == []
    for folder in (ROOT / "Sources" / "Estimation", ROOT / "python" / "v05"):
        files = (*folder.glob("*/*.swift"), *folder.glob("*/*.py"))
        assert {path.parent for path in files} <= named
    modules = {path for path in (ROOT / "Sources").iterdir() if not path.name.startswith("C")} - named
    assert modules <= {ROOT / "Sources" / "TokenPassesAVX2"}


def test_files_of_the_tests_that_anything_names_exist():
    """A command in a document, a script or a docstring: "Tests/Benchmarks/benchmark.py"."""
    scripts = [(path, path.read_text(encoding="utf-8")) for path in (ROOT / "Tests" / "run", ROOT / ".ci" / "run")]
    named = [
        (path, name)
        for path, text in [*texts(), *scripts]
        if path.name != "test_documents.py"
        for name in re.findall(r"\bTests/[\w./-]+\.(?:py|c|cpp|json|txt)\b", text)
    ]
    assert len(named) > 20
    assert [(str(path.relative_to(ROOT)), name) for path, name in named if not (ROOT / name).exists()] == []


def test_every_kind_of_fault_has_the_test_that_is_named():
    """The table of Tests/README.md: a file, or a test in it."""
    table = (ROOT / "Tests" / "README.md").read_text(encoding="utf-8").partition("| kind | held by |")[2]
    named = re.findall(
        r"`([\w./]+)(?:::(\w+))?`(?=[,| ])",
        "\n".join(line.rsplit("|", 2)[1] for line in table.split("\n") if "`" in line),
    )
    assert len(named) > 60
    for file, test in named:
        path = ROOT / "Tests" / file
        assert path.exists(), file
        assert not test or re.search(rf"^def {test}\(", path.read_text(encoding="utf-8"), flags=re.M), test


# Dotted names of the package in a document: neither a file's name nor a key of a configuration.
NAME = re.compile(r"(?<![\w./+-])v05((?:\.[A-Za-z_]\w*)+)")
IMPORT = re.compile(r"^from v05((?:\.\w+)*) import ([\w, ]+)", flags=re.M)
FILES = {"h", "pc", "zip", "yaml", "state", "so"}


def names_of(module):
    """What a file of the package defines, imports, or spells out as names that it fetches when asked for them."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def exists(parts):
    """Whether v05.<parts> is a module, or a name in one."""
    place = PACKAGE
    for part in parts:
        if (place / part).is_dir():
            place = place / part
        elif (place / f"{part}.py").is_file():
            place = place / f"{part}.py"
        else:
            return part.startswith("__") or part in names_of(place / "__init__.py" if place.is_dir() else place)
    return True


def test_which_names_exist():
    assert exists(("trl", "V05GRPOTrainer")) and exists(("slime", "install")) and exists(("History", "predict"))
    assert not exists(("slime", "nothing")) and not exists(("nothing",))


def test_names_in_documents_exist():
    pages = [(path, text) for path, text in texts() if path.suffix == ".md"]
    named = {(path.name, tuple(found[1:].split("."))) for path, text in pages for found in NAME.findall(text)}
    named |= {
        (path.name, (*module.split(".")[1:], name.strip()))
        for path, text in pages
        for module, names in IMPORT.findall(text)
        for name in names.split(",")
    }
    assert len(named) > 60
    assert [
        (page, "v05." + ".".join(parts))
        for page, parts in sorted(named)
        if parts[-1] not in FILES and not exists(parts)
    ] == []
