"""The Python package in layers: no import runs upwards, none in a circle, and public names stay where they are."""

import ast
import importlib
import inspect
from pathlib import Path

import v05

PACKAGE = Path(v05.__file__).parent
# From the ground up. A room may import rooms further down; what a person runs may import everything.
LAYERS = (
    {"errors"},
    {"_core"},
    {"v0"},
    {"priors"},
    {"training"},
    {
        "trl",
        "verl",
        "areal",
        "axolotl",
        "tinker_cookbook",
        "torchtitan",
        "ms_swift",
        "nemo_rl",
        "openrlhf",
        "prime_rl",
        "rllm",
        "skyrl",
        "slime",
    },
    {"commands"},
    {
        "__init__",
        "__main__",
        "advantage_estimator",
        "noise",
        "replay",
        "stored_estimator",
    },  # doors: names of what lies below
)
FLOOR = {room: floor for floor, rooms in enumerate(LAYERS) for room in rooms}


def module_of(path):
    """("_core", "arrays") of v05/_core/arrays.py; a package is its __init__."""
    return path.relative_to(PACKAGE).with_suffix("").parts


def imports(path):
    """The modules of the package that a file imports, anywhere in it, as tuples of names."""
    module = module_of(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = module[: len(module) - node.level] + tuple(node.module.split(".") if node.module else ())
            elif node.module and node.module.split(".")[0] == "v05":
                base = tuple(node.module.split(".")[1:])
            else:
                continue
            for name in node.names:
                yield found((*base, name.name)) or found(base)
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "v05":
                    yield found(tuple(name.name.split(".")[1:]))


def found(parts):
    path = PACKAGE.joinpath(*parts)
    if path.with_suffix(".py").is_file() and parts:
        return parts
    return (*parts, "__init__") if (path / "__init__.py").is_file() else None


def graph():
    return {module_of(path): set(filter(None, imports(path))) for path in PACKAGE.rglob("*.py")}


def test_every_room_has_a_layer():
    assert {module[0] for module in graph()} == set(FLOOR)


def test_no_import_runs_upwards():
    upward = [
        (".".join(module), ".".join(target))
        for module, targets in graph().items()
        for target in targets
        if FLOOR[target[0]] > FLOOR[module[0]] and not (module[0] == "commands" and target == ("__init__",))
    ]
    assert not upward


def test_no_circle_and_at_most_ten_layers():
    """Levels of rooms: a folder, or a file beside the folders; in commands each file and folder. A lazy import
    counts."""

    def room(module):
        return module[:2] if module[0] == "commands" else module[:1]

    rooms = {}
    for module, targets in graph().items():
        rooms.setdefault(room(module), set()).update(room(target) for target in targets if room(target) != room(module))
    for targets in rooms.values():
        targets.discard(("__init__",))  # the public names, by which commands call the package
    level = {}

    def height(name, path=()):
        assert name not in path, f"a circle: {' -> '.join('.'.join(part) for part in (*path, name))}"
        if name not in level:
            level[name] = 1 + max((height(target, (*path, name)) for target in rooms.get(name, ())), default=0)
        return level[name]

    assert max(height(name) for name in rooms) <= 10


def test_no_circle_of_files():
    modules = graph()
    state = {}

    def visit(module, path):
        assert state.get(module) != "open", f"a circle: {[*path, module]}"
        if module not in state:
            state[module] = "open"
            for target in modules[module] - {module, ("__init__",)}:
                if target[-1] != "__init__" or target[:-1] != module[:-1]:  # a file may be handed on by its own package
                    visit(target, [*path, module])
            state[module] = "done"

    for module in modules:
        visit(module, [])


def test_public_classes_say_where_they_are_found():
    """A pickle names the module of a class: v05 whatever file it lies in, so that no later move breaks it."""
    for name in v05.__all__:
        value = getattr(v05, name)
        if inspect.isclass(value):
            assert value.__module__ == "v05" and value.__qualname__ == name


def test_documented_paths():
    for path in (
        "v05.errors",
        "v05.priors",
        "v05.priors.sources",
        "v05.replay",
        "v05.stored_estimator",
        "v05.training",
        "v05.advantage_estimator",
        "v05.v0",
        "v05.v0.scores",
    ):
        importlib.import_module(path)
    from v05.stored_estimator import StoredEstimator

    assert StoredEstimator is v05.training.StoredEstimator
