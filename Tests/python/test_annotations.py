"""Whatever the package shows is annotated, and a type checker that reads a user's program finds the mistakes in it."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import typed_program
from test_layers import LAYERS, PACKAGE
from v05._core import prototypes as c
from v05._core import types
from v05._core.rules import RULES
from v05.errors import MissingExtra
from v05.priors.in_context_prior import HEADS, HeadName
from v05.priors.sources import NAMES

PROGRAM = Path(typed_program.__file__)
MODULES = (
    "v05",
    "v05.errors",
    "v05.advantage_estimator",
    "v05.noise",
    "v05.priors",
    "v05.priors.sources",
    "v05.replay",
    "v05.stored_estimator",
    "v05.training",
    "v05.training.estimator_state",
    "v05.training.health",
    "v05.training.score_weights",
    "v05.trl",
    "v05.v0",
    "v05.v0.scores",
)
SPECIAL = ("__init__", "__call__", "__len__", "__enter__", "__exit__")
TRAINERS = next(rooms for rooms in LAYERS if "trl" in rooms)


def is_shown(name):
    return not name.startswith("_") or name in SPECIAL


def shown(module):
    """(name, value) of what a module offers and this package defines."""
    for name in getattr(module, "__all__", [name for name in vars(module) if is_shown(name)]):
        value = getattr(module, name)
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.split(".")[0] == "v05":
            yield name, value


def functions(name, value):
    """(name, function) of a function, or of the methods and properties of a class and of its bases here."""
    if inspect.isfunction(value):
        yield name, value
        return
    for base in value.__mro__:
        if base.__module__.split(".")[0] != "v05":
            continue
        made = {"__init__"} if getattr(base, "_is_protocol", False) else set()  # by Python
        for member, found in vars(base).items():
            if isinstance(found, property):
                found = found.fget
            found = inspect.unwrap(getattr(found, "__func__", found))
            if is_shown(member) and member not in made and inspect.isfunction(found):
                yield f"{name}.{member}", found


@pytest.mark.parametrize("path", MODULES)
def test_everything_shown_is_annotated(path):
    try:
        module = importlib.import_module(path)
        found = dict(pair for name, value in shown(module) for pair in functions(name, value))
    except (MissingExtra, ModuleNotFoundError) as error:
        pytest.skip(f"{path} is not installed: {error}")
    assert found
    for name, function in found.items():
        signature = inspect.signature(function)
        bare = [
            parameter.name
            for place, parameter in enumerate(signature.parameters.values())
            if parameter.annotation is parameter.empty and not (place == 0 and "." in name)  # self
        ]
        assert not bare, f"{path}.{name}: {bare}"
        assert signature.return_annotation is not signature.empty, f"{path}.{name}"
        typing.get_type_hints(function)  # no name in it is unknown


def bare_functions(body, inside=""):
    """Functions of a body of source, and of its classes, that lack an annotation."""
    for node in body:
        if isinstance(node, ast.ClassDef) and is_shown(node.name):
            yield from bare_functions(node.body, f"{inside}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and is_shown(node.name):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args][1 if inside else 0 :] + arguments.kwonlyargs
            every = [*named, *filter(None, (arguments.vararg, arguments.kwarg))]
            if node.returns is None or not all(argument.annotation for argument in every):
                yield inside + node.name


@pytest.mark.parametrize("room", sorted(TRAINERS))
def test_adapters_are_annotated(room):
    """By their source: few of the trainers are installed at a time."""
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else list((PACKAGE / room).glob("*.py"))
    assert files
    for file in files:
        if file.name in ("prompts.py", "rounds.py"):  # the adapter's own, named nowhere
            continue
        assert not list(bare_functions(ast.parse(file.read_text()).body)), file


def test_bare_functions_are_found():
    source = "def f(a: int, *b: int, **c): ...\nclass C:\n    def g(self, a: int): ...\n    def h(self) -> int: ..."
    assert list(bare_functions(ast.parse(source).body)) == ["f", "C.g"]


def test_fixed_choices_are_those_of_the_core():
    for kind, names in (
        (types.RuleName, RULES),
        (types.ScaleName, c.SCALES),
        (types.SingletonName, c.SINGLETONS),
        (types.TestName, c.TESTS),
        (types.AllocationRuleName, c.ALLOCATION_RULES),
        (types.LookAheadName, c.LOOK_AHEADS),
        (types.ObjectiveName, c.OBJECTIVES),
        (types.PriorityName, c.PRIORITIES),
        (types.PriorName, NAMES),
        (HeadName, HEADS),
    ):
        assert typing.get_args(kind) == tuple(names)


def test_choices_of_the_trainers_are_those_of_what_they_hand_on():
    pytest.importorskip("trl", reason="TRL is not installed: pip install './python[trl]'")
    from v05.training.score_weights import KINDS
    from v05.trl import V05Config

    kinds = typing.get_type_hints(V05Config)
    assert typing.get_args(kinds["allocation"]) == ("off", *c.ALLOCATION_RULES)
    assert typing.get_args(typing.get_args(kinds["weights"])[0]) == KINDS
    assert typing.get_args(kinds["rule"]) == tuple(RULES)


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").read_bytes() == b""


def test_the_typed_program_runs(tmp_path):
    typed_program.run(tmp_path)


def test_a_type_checker_passes_the_program_and_finds_its_mistakes(request):
    for name in ("mypy", "torch", "trl"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install './python[test,demo]'")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
        + ["--cache-dir", str(request.config.cache.mkdir("mypy")), str(PROGRAM)],
        env=os.environ | {"MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert PROGRAM.read_text().count("# type: ignore[") > 25
