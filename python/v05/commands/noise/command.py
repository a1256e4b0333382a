"""`v05 noise`."""

import importlib
import json
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

from ..._core.json_lines import json_rows
from ...errors import ArgumentTypeError, Error, InvalidArgument, MissingExtra
from ..devices import check_device
from .options import check_options, check_prompts

NEEDED = ("torch", "transformers")
_OWN = ("model", "tokenizer", "dataset", "reward")


def add_command(commands):
    """Adds `v05 noise`."""
    noise = commands.add_parser(
        "noise",
        help="how noisy the gradient of your model is with every baseline",
        description="Draws rollouts of a model, takes the gradient of each, and says how noisy a training step is with "
        "every baseline and how many rollouts per prompt are best at equal cost.",
        epilog='CONFIG is JSON: "model" (name or folder), "dataset" (JSON lines with a field prompt), "reward" '
        '("module:function", called as TRL calls it), and what v05.noise.measure_noise takes: prompts, rollouts, '
        "scope ...",
    )
    noise.add_argument("config", metavar="CONFIG", help="JSON file")
    noise.add_argument("--device", default="cpu", help="of PyTorch (default: cpu)")
    noise.add_argument("--out", metavar="FILE", help="draw the result into this .png, .pdf or .svg")
    noise.add_argument("--json", action="store_true", help="print the figures as JSON")
    noise.set_defaults(run=run_noise)


def run_noise(options):
    """Measures with live progress, prints a table or JSON, and draws on request."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"v05 noise ({', '.join(missing)})", "noise")
    from ..results import show_result

    show_result(options, [options.config], lambda progress: _measured(options, progress), _print, _draw)


def _measured(options, progress):
    settings = read_settings(options.config)
    rows, reward = read_rows(settings.pop("dataset")), find_function(settings.pop("reward"))
    name, tokenizer = settings.pop("model"), settings.pop("tokenizer", None)
    from .measure import PROMPTS, measure_noise

    check_options(**settings)
    check_prompts(settings.get("prompts", PROMPTS), len(rows))
    check_device(options.device)
    model, tokenizer = _loaded(name, tokenizer or name, options.device)
    return measure_noise(model, tokenizer, rows, reward, progress=progress, **settings)


def _loaded(name, tokenizer, device):
    """(model, tokenizer); of a checkpoint of adapters these are what trains."""
    if (Path(name) / "adapter_config.json").exists() and find_spec("peft") is None:
        raise Error(f"{name} holds adapters, which needs peft: pip install peft")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(name, dtype="auto").to(device)
    if adapters := [weight for name, weight in model.named_parameters() if "lora_" in name]:
        model.requires_grad_(False)
        for weight in adapters:
            weight.requires_grad_(True)  # they come frozen
    return model, tokenizer


def _print(report):
    from .table import print_noise

    print_noise(report)


def _draw(report, path):
    from .picture import draw_noise

    draw_noise(report, path)


def read_settings(path):
    """The settings in a JSON file: a model, a dataset, a reward, and options of measure_noise."""
    from .measure import measure_noise

    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgument(f"{path} must be JSON: {error}") from error
    if not isinstance(settings, dict):
        raise InvalidArgument(f"{path} must hold one JSON object, got {type(settings).__name__}")
    known = {*_OWN, *signature(measure_noise).parameters} - {"progress"}
    unknown, missing = (
        sorted(set(settings) - known),
        [name for name in _OWN if name not in settings and name != "tokenizer"],
    )
    if unknown or missing:
        what = f"knows no {', '.join(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise InvalidArgument(f"{path} {what}; it may hold {', '.join(sorted(known))}")
    for name in settings.keys() & set(_OWN):
        if not isinstance(settings[name], str) or not settings[name]:  # 0 would be read as standard input
            raise InvalidArgument(f"{name} in {path} must be a text, got {settings[name]!r:.100}")
    return settings


def read_rows(path):
    """The rows of a JSON lines file, each an object with a prompt; all get all columns, None where they lack one."""
    rows = []
    for number, row in json_rows(path):
        if not isinstance(row.get("prompt"), str | list):
            raise InvalidArgument(
                f"{path}, line {number}: must have a field prompt, text or messages, got {row.get('prompt')!r:.100} "
                f"and the fields {', '.join(row) or 'none'}"
            )
        rows.append(row)
    columns = dict.fromkeys(name for row in rows for name in row)
    return [columns | row for row in rows]


def find_function(path):
    """The function that "module:function" names, with the working directory on the path."""
    import sys

    module, _, name = str(path).partition(":")
    if not module.strip(".") or not name:
        raise InvalidArgument(f'reward must be "module:function", got {path!r}')
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module raises
        kind = "" if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: "
        raise InvalidArgument(f"reward names a function that cannot be imported: {kind}{error}") from error
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise ArgumentTypeError(f"reward must name a function, got {found!r}")
    return found
