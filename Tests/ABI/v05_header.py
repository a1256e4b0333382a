"""v05.h as data: its functions, structs and enums, read from its declarations."""

import re
from dataclasses import dataclass

from conftest import ROOT

PATH = ROOT / "include" / "v05.h"
TEXT = PATH.read_text()


@dataclass(frozen=True)
class Function:
    name: str
    result: str
    arguments: tuple[str, ...]  # C types, without const and names
    comment: str  # what stands before the declaration, as one line


def plain_type(declaration):
    """The C type of "const double *prior" is "double *", that of "char message[256]" is "char [256]"."""
    base, pointers, length = re.fullmatch(
        r"\s*((?:\w+\s+)*?\w+)\s*((?:\*\s*)*)(?:\b\w+)?\s*(\[\w+\])?\s*", re.sub(r"\bconst\b", "", declaration)
    ).groups()
    return " ".join(part for part in (base, pointers.replace(" ", ""), length) if part)


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def read_functions():
    """In the order of the header. The comment may be missing, the declaration may not be odd."""
    pattern = re.compile(
        r"(?:/\*(?P<comment>(?:(?!\*/).)*)\*/\s*)?"
        r"^(?P<result>\w[\w ]*?[ *]+)(?P<name>v05_\w+)\((?P<arguments>[^)]*)\);",
        re.DOTALL | re.MULTILINE,
    )
    return [
        Function(
            match["name"],
            plain_type(match["result"]),
            tuple(plain_type(part) for part in match["arguments"].split(",") if part.strip() != "void"),
            re.sub(r"\s*\n \*\s*", " ", match["comment"] or ""),
        )
        for match in pattern.finditer(TEXT)
    ]


def read_structs():
    """{name: {field: C type}}; a handle, whose struct is not in the header, is not among them."""
    structs = re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", without_comments(TEXT), re.DOTALL)
    return {
        name: {
            re.search(r"(\w+)(?:\[\w+\])?\s*$", field)[1]: plain_type(field)
            for field in body.split(";")
            if field.strip()
        }
        for body, name in structs
    }


def read_enums():
    """{name: [constants]}"""
    enums = re.findall(r"typedef enum \w+ \{(.*?)\} (\w+);", without_comments(TEXT), re.DOTALL)
    return {name: re.findall(r"\bV05_\w+", body) for body, name in enums}


FUNCTIONS = read_functions()
STRUCTS = read_structs()
ENUMS = read_enums()
HANDLES = set(re.findall(r"typedef struct (\w+) \1;", TEXT))
