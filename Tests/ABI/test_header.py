"""v05.h stands alone in C and C++, documents itself, and says what _prototypes.py and the library say."""

import ctypes
import importlib.metadata
import inspect
import os
import re
from pathlib import Path

import pytest
import v05
import v05_header
from tools import STRICT, any_compiler, each, run
from v05._core import prototypes as prototypes
from v05._core.library import library

STATUSES = {
    "V05_STATUS_OK": 0,
    "V05_STATUS_NULL_POINTER": 100,
    "V05_STATUS_INVALID_SIZE": 101,
    "V05_STATUS_INVALID_OPTION": 102,
    "V05_STATUS_INVALID_STRUCT_SIZE": 103,
    "V05_STATUS_CAPACITY_TOO_SMALL": 104,
    "V05_STATUS_WORKSPACE_TOO_SMALL": 105,
    "V05_STATUS_OVERLAPPING_ARRAYS": 106,
    "V05_STATUS_INVALID_REWARD": 200,
    "V05_STATUS_REWARD_OUT_OF_RANGE": 201,
    "V05_STATUS_REWARD_NOT_TWO_VALUED": 202,
    "V05_STATUS_INVALID_PRIOR": 203,
    "V05_STATUS_PRIOR_DISAGREES": 204,
    "V05_STATUS_INVALID_OFFSETS": 205,
    "V05_STATUS_INVALID_CALIBRATION": 206,
    "V05_STATUS_INVALID_PROBABILITY": 207,
    "V05_STATUS_INFEASIBLE": 208,
    "V05_STATUS_UNKNOWN_PROMPT": 209,
    "V05_STATUS_NOT_IN_FLIGHT": 210,
    "V05_STATUS_INVALID_TOKEN": 211,
    "V05_STATUS_INVALID_WEIGHT": 212,
    "V05_STATUS_OUT_OF_MEMORY": 300,
    "V05_STATUS_CHECKPOINT_TRUNCATED": 400,
    "V05_STATUS_CHECKPOINT_CORRUPTED": 401,
    "V05_STATUS_CHECKPOINT_VERSION": 402,
    "V05_STATUS_CHECKPOINT_KIND": 403,
}

SCALARS = {
    "char": ctypes.c_char,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint8_t": ctypes.c_uint8,
    "uint32_t": ctypes.c_uint32,
    "size_t": ctypes.c_size_t,
    "v05_status": ctypes.c_int32,
}

STRUCTURES = {
    name: structure
    for name, structure in inspect.getmembers(prototypes, inspect.isclass)
    if issubclass(structure, ctypes.Structure) and structure is not prototypes.SizedStructure
}


def structure_name(c_name):
    """EstimationOptions for v05_estimation_options."""
    return "".join(part.capitalize() for part in c_name.split("_")[1:])


def python_types(c_type):
    """What ctypes may use for a C type; the first is what a struct or a scalar must be."""
    if c_type == "void":
        return [None]
    if c_type == "char *":
        return [ctypes.c_char_p]
    if c_type.endswith("]"):
        element, length = re.fullmatch(r"(.+) \[(\d+)\]", c_type).groups()
        return [SCALARS[element] * int(length)]
    if not c_type.endswith("*"):
        return [SCALARS[c_type]] if c_type in SCALARS else [STRUCTURES[structure_name(c_type)]]
    target = c_type.removesuffix("*").strip()
    if target in v05_header.STRUCTS:
        # The address of a struct may also be passed as a number.
        return [ctypes.POINTER(STRUCTURES[structure_name(target)]), ctypes.c_void_p]
    if target.removesuffix("*").strip() in v05_header.HANDLES and target.endswith("*"):
        return [ctypes.POINTER(ctypes.c_void_p)]
    return [ctypes.c_void_p] + ([ctypes.POINTER(SCALARS[target])] if target in SCALARS else [])


# ------------------------------------------------------------------------------------------ the header alone --


@pytest.mark.parametrize("compiler", each("gcc", "clang"))
def test_compiles_as_c11(compiler, tmp_path):
    check_header(compiler, "c", "-std=c11", tmp_path)


@pytest.mark.parametrize("compiler", each("g++", "clang++"))
def test_compiles_as_cpp17(compiler, tmp_path):
    check_header(compiler, "c++", "-std=c++17", tmp_path)


def check_header(compiler, language, standard, folder):
    """Included first, before anything that it might lean on, and twice."""
    source = folder / "header"
    source.write_text("#include <v05.h>\n#include <v05.h>\nint main(void) { return V05_STATUS_OK; }\n")
    run(compiler, "-x", language, standard, *STRICT, "-I", v05_header.PATH.parent, "-fsyntax-only", source)


@pytest.mark.parametrize("compiler", each("gcc", "clang"))
def test_example_of_the_introduction_compiles(compiler, tmp_path):
    example = re.search(r"INTRODUCTION[^/]*?\n((?: \*     [^\n]*\n)+)", v05_header.TEXT)[1]
    source = tmp_path / "introduction.c"
    source.write_text(
        "#include <stdio.h>\n#include <v05.h>\n"
        "void step(const float *rewards, const int64_t *prompts, const double *priors, float *advantages);\n"
        "void step(const float *rewards, const int64_t *prompts, const double *priors, float *advantages) {\n"
        + example.replace(" *     ", "    ")
        + "}\n"
    )
    run(compiler, "-std=c11", *STRICT, "-I", v05_header.PATH.parent, "-fsyntax-only", source)


def test_no_declaration_is_overlooked():
    """The gates are as good as the reading of the header."""
    code = v05_header.without_comments(v05_header.TEXT)
    assert re.findall(r"\b(v05_\w+)\(", code) == [function.name for function in v05_header.FUNCTIONS]
    assert set(re.findall(r"^} (v05_\w+);", code, re.MULTILINE)) == v05_header.STRUCTS.keys() | v05_header.ENUMS.keys()


@pytest.mark.parametrize("function", v05_header.FUNCTIONS, ids=lambda function: function.name)
def test_function_is_documented(function):
    since = re.search(r"\bSince (\d+)\.(\d+)\.(\d+)\.", function.comment)
    assert since, f"{function.name} does not say since when it exists"
    assert tuple(map(int, since.groups())) <= tuple(map(int, v05.__version__.split(".")))


# ----------------------------------------------------------------------------------- what a C compiler makes of it --


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """{expression: value} of all sizes, offsets and constants, and the version, from a C program."""
    expressions = [f"sizeof({name})" for name in [*v05_header.STRUCTS, *v05_header.ENUMS]]
    expressions += [f"offsetof({name}, {field})" for name, fields in v05_header.STRUCTS.items() for field in fields]
    expressions += [constant for constants in v05_header.ENUMS.values() for constant in constants]
    expressions += ["V05_ABI_VERSION"]
    folder = tmp_path_factory.mktemp("layout")
    source = folder / "layout.c"
    source.write_text(
        "#include <v05.h>\n#include <stdio.h>\nint main(void) {\n"
        + "".join(f'    printf("{text}=%lld\\n", (long long)({text}));\n' for text in expressions)
        + '    puts("V05_VERSION=" V05_VERSION);\n}\n'
    )
    run(any_compiler(), "-std=c11", "-I", v05_header.PATH.parent, source, "-o", folder / "layout")
    pairs = (line.split("=") for line in run(folder / "layout").splitlines())
    return {text: value if text == "V05_VERSION" else int(value) for text, value in pairs}


def test_every_struct_is_known_to_python():
    assert {structure_name(name) for name in v05_header.STRUCTS} == STRUCTURES.keys()


@pytest.mark.parametrize("name", v05_header.STRUCTS)
def test_struct_equals_its_ctypes_structure(name, compiled):
    structure = STRUCTURES[structure_name(name)]
    fields = v05_header.STRUCTS[name]
    assert [field for field, _ in structure._fields_] == list(fields)
    assert {field: getattr(structure, field).offset for field in fields} == {
        field: compiled[f"offsetof({name}, {field})"] for field in fields
    }
    assert ctypes.sizeof(structure) == compiled[f"sizeof({name})"]
    assert {field: kind for field, kind in structure._fields_ if kind not in python_types(fields[field])} == {}


@pytest.mark.parametrize("name", v05_header.STRUCTS)
def test_struct_can_grow(name, compiled):
    """Its size comes first and is a multiple of 8, so that a field appended later never falls into padding."""
    assert compiled[f"sizeof({name})"] % 8 == 0
    last, kind = list(v05_header.STRUCTS[name].items())[-1]
    end = compiled[f"offsetof({name}, {last})"] + ctypes.sizeof(python_types(kind)[0])
    assert end == compiled[f"sizeof({name})"], "ends in padding: add a reserved field"
    if name != "v05_regression_moments":
        assert list(v05_header.STRUCTS[name])[0] == "struct_size"


def test_choices_equal_those_of_python(compiled):
    """RULES, SCALES and so on: one dictionary for every enum, names in lower case without the common prefix."""
    dictionaries = {
        name: value
        for name, value in vars(prototypes).items()
        if isinstance(value, dict) and name.isupper() and name != "FUNCTIONS"
    }
    choices = {}
    for enum, constants in v05_header.ENUMS.items():
        prefix = os.path.commonprefix(constants).rpartition("_")[0] + "_"
        choices[enum] = {constant.removeprefix(prefix).lower(): compiled[constant] for constant in constants}
    del choices["v05_status"]
    assert [name for name, value in dictionaries.items() if value not in choices.values()] == []
    assert [name for name, value in choices.items() if value not in dictionaries.values()] == []


def test_enums_are_32_bits_wide(compiled):
    assert {name: compiled[f"sizeof({name})"] for name in v05_header.ENUMS} == dict.fromkeys(v05_header.ENUMS, 4)


def test_statuses_are_pinned(compiled):
    """A released number never changes; a new one is appended to the table above."""
    assert {name: compiled[name] for name in v05_header.ENUMS["v05_status"]} == STATUSES


def test_library_names_every_status():
    assert {value: library.v05_status_name(value).decode() for value in STATUSES.values()} == {
        value: name for name, value in STATUSES.items()
    }
    for value in (-1, 1, 99, 2**31 - 1, -(2**31)):
        assert library.v05_status_name(value) == b"unknown status"


# ------------------------------------------------------------------------------------------------- functions --


def test_functions_are_declared_in_the_order_of_the_header():
    assert list(prototypes.FUNCTIONS) == [function.name for function in v05_header.FUNCTIONS]


@pytest.mark.parametrize("function", v05_header.FUNCTIONS, ids=lambda function: function.name)
def test_function_equals_its_prototype(function):
    result, arguments = prototypes.FUNCTIONS[function.name]
    assert result in python_types(function.result)
    assert len(arguments) == len(function.arguments)
    wrong = [
        (position, c_type, found)
        for position, (c_type, found) in enumerate(zip(function.arguments, arguments))
        if found not in python_types(c_type)
    ]
    assert wrong == []


# -------------------------------------------------------------------------------------------------- versions --


def test_one_version_everywhere(compiled):
    folder = Path(v05.library_path()).parent
    described = re.search(r"^Version: (.+)$", (folder / "pkgconfig" / "v05.pc").read_text(), re.MULTILINE)[1]
    versions = {
        "V05_VERSION": compiled["V05_VERSION"],
        "v05_version": library.v05_version().decode(),
        "v05.__version__": v05.__version__,
        "package metadata": importlib.metadata.version("v05"),
        "v05.pc": described,
    }
    assert versions == dict.fromkeys(versions, v05.__version__)


def test_one_abi_version_everywhere(compiled):
    assert compiled["V05_ABI_VERSION"] == v05.abi_version() == prototypes.ABI_VERSION


@pytest.mark.parametrize("name", sorted(prototypes.FUNCTIONS))
def test_function_is_fuzzed(name):
    calls = "".join(path.read_text() for path in sorted((v05_header.ROOT / "Tests" / "Fuzzing").glob("*.c")))
    assert f"{name}(" in calls
