"""`v05 v0 train` and `v05 v0 evaluate`."""

import argparse
import random
import sys
from pathlib import Path

from .devices import check_device
from .json_text import json_text
from .printable import printable


def add_command(commands):
    """Adds `v05 v0`."""
    v0 = commands.add_parser(
        "v0",
        help="train and evaluate V_0, the value model for prompts never seen",
        description="V_0 predicts the success of a policy on prompts never seen from its scores on others.",
    )
    actions = v0.add_subparsers(required=True, metavar="ACTION")
    _add_train(actions)
    _add_evaluate(actions)


def run_train(options):
    """`v05 v0 train`: train with live progress, print the figures of the last epoch."""
    from ..v0 import PromptEmbedding, TrainingOptions, make_head, read_scores, train
    from ..v0.training import check_training
    from .progress import progress_bar

    check_device(options.device)
    given = {name: value for name, value in vars(options).items() if name in TrainingOptions.__dataclass_fields__}
    settings = TrainingOptions(**given)
    context, queries = _scores(options, settings.reward_range)
    held_out = options.held_out and read_scores(
        options.held_out, prompts=options.prompts, reward_range=settings.reward_range
    )
    check_training(context, queries, options.output, settings, held_out=held_out, resume=options.resume)
    head = make_head(options.head, options.tabpfn_model, device=options.device)
    embedding = PromptEmbedding.from_pretrained(
        options.embedding_model,
        device=options.device,
        batch_size=options.batch_size,
        maximum_tokens=options.maximum_tokens,
        seed=settings.seed,
    )
    with progress_bar() as progress:
        history = train(
            embedding,
            head,
            context,
            queries,
            options.output,
            settings,
            held_out=held_out,
            resume=options.resume,
            progress=progress,
        )
    _print(history[-1], options.json)
    print(f"checkpoints and metrics.jsonl: {printable(options.output)}", file=sys.stderr)


def run_evaluate(options):
    """`v05 v0 evaluate`: predict the queries from contexts and print how well."""
    from ..v0 import V0Prior, evaluate
    from ..v0.episodes import ContextPool, judging_episodes
    from .progress import progress_bar

    check_device(options.device)
    reward_range = tuple(options.reward_range)
    context, queries = _scores(options, reward_range)
    # What cannot be judged is told before the model is loaded.
    judging_episodes(ContextPool(context, options.context_size, reward_range), queries, random.Random(options.seed))
    prior = V0Prior.from_pretrained(
        options.checkpoint,
        options.embedding_model,
        options.tabpfn_model,
        head=options.head,
        device=options.device,
        batch_size=options.batch_size,
        maximum_tokens=options.maximum_tokens,
    )
    with progress_bar() as progress:
        found = evaluate(
            prior.embedding,
            prior.head,
            context,
            queries,
            context_size=options.context_size,
            reward_range=reward_range,
            seed=options.seed,
            progress=progress,
        )
    _print(found, options.json)


def _scores(options, reward_range):
    from ..v0 import read_scores

    files = options.context or options.data / "context.jsonl", options.asked or options.data / "train.jsonl"
    return [read_scores(path, prompts=options.prompts, reward_range=reward_range) for path in files]


def _print(figures, as_json):
    if as_json:
        print(json_text(figures))
        return
    for name, value in figures.items():
        print(f"{name:<22}", f"{value:.4f}" if isinstance(value, float) else value)


def _add_common(command):
    command.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="folder with context.jsonl, train.jsonl and prompts.jsonl or prompt_dict.json",
    )
    command.add_argument("--context", type=Path, metavar="FILE", help="scores to show (default: context.jsonl in DATA)")
    command.add_argument(
        "--asked",
        type=Path,
        metavar="FILE",
        help="scores to ask for (default: train.jsonl in DATA); a prompt asked for is never shown",
    )
    command.add_argument("--prompts", type=Path, metavar="FILE", help="texts (default: beside each file of scores)")
    command.add_argument(
        "--embedding-model",
        required=True,
        metavar="NAME",
        help="folder or hub name of the backbone: Qwen/Qwen3-Embedding-0.6B",
    )
    command.add_argument(
        "--head",
        choices=("tabpfn", "kernel"),
        default="tabpfn",
        help="kernel: kernel ridge, a stand-in without weights, not the official head",
    )
    command.add_argument("--tabpfn-model", metavar="FILE", help="tabpfn-v2.5-classifier-v2.5_default.ckpt")
    command.add_argument("--device", default="cpu", help="of PyTorch (default: cpu)")
    command.add_argument("--batch-size", type=int, default=32, metavar="N", help="prompts in the backbone at a time")
    command.add_argument("--maximum-tokens", type=int, default=2048, metavar="N", help="of a prompt (default: 2048)")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")


def _add_train(actions):
    command = actions.add_parser(
        "train",
        help="train the adapter, and the backbone if wanted",
        description="0.25 pairwise ranking within a context + 0.75 cross-entropy. Writes checkpoints in the official "
        "layout and metrics.jsonl; the defaults of the options are the official ones.",
    )
    _add_common(command)
    command.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="of checkpoints, metrics.jsonl")
    command.add_argument("--held-out", type=Path, metavar="FILE", help="scores to evaluate on after each epoch")
    command.add_argument("--resume", action="store_true", help="go on after the newest checkpoint in FOLDER")

    def add(name, kind, help, **details):  # a field of TrainingOptions, which has the default
        command.add_argument(name, type=kind, default=argparse.SUPPRESS, help=help, **details)

    add("--epochs", int, "passes over the scores asked for", metavar="N")
    add("--queries", int, "prompts asked for at a time, in pairs", metavar="N")
    add("--context-size", int, "prompts shown", metavar="N")
    add("--episodes-per-update", int, "whose gradients are averaged", metavar="N")
    add("--ranking-weight", float, "of the ranking loss, in [0, 1]", metavar="W")
    add("--adapter-rate", float, "peak learning rate of the adapter", metavar="R")
    add("--backbone-rate", float, "of the backbone; 0 leaves it alone; 1e-5 tunes it", metavar="R")
    add("--weight-decay", float, "of matrices", metavar="W")
    add("--warm-up", float, "share of the updates with rising rates", metavar="S")
    add("--gradient-norm", float, "larger gradients are cut to it", metavar="G")
    add("--reward-range", float, "range of the scores", nargs=2, metavar=("LOW", "HIGH"))
    add("--seed", int, "of everything random", metavar="N")
    command.set_defaults(run=run_train)


def _add_evaluate(actions):
    command = actions.add_parser(
        "evaluate",
        help="predict prompts from contexts and say how well",
        description="AUC within a context and pooled, accuracy, Brier score, squared error, calibration.",
    )
    _add_common(command)
    command.add_argument("--checkpoint", required=True, metavar="FILE", help="weights: .pt or .safetensors")
    command.add_argument("--context-size", type=int, default=256, metavar="N", help="prompts shown (default: 256)")
    command.add_argument(
        "--reward-range",
        type=float,
        nargs=2,
        default=(-1.0, 1.0),
        metavar=("LOW", "HIGH"),
        help="range of the scores (default: -1 1)",
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw of contexts")
    command.set_defaults(run=run_evaluate)
