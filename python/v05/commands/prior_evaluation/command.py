"""`v05 priors evaluate`."""

import argparse

from ..logs.options import add_log_options


def add_command(commands):
    """Adds `v05 priors`."""
    priors = commands.add_parser("priors", help="compare priors for prompts never seen, and others")
    actions = priors.add_subparsers(required=True, metavar="ACTION")
    evaluate = actions.add_parser(
        "evaluate",
        help="how well priors predict on your data, and what baselines they make",
        description="Compares priors on a rollout log (formats as for `v05 replay`), or on files of scores in the "
        "layout of V_0: lines with dataset, id, model, step and score, and prompts.jsonl with the texts beside them.",
    )
    evaluate.add_argument("log", nargs="?", metavar="LOG", help="rollout log, file or directory")
    evaluate.add_argument("--out", metavar="FILE", help="draw the result into this .png, .pdf or .svg")
    evaluate.add_argument("--json", action="store_true", help="print the result as JSON")

    def add(name, **details):  # an argument of `v05.commands.prior_evaluation.evaluate.evaluate`, which has the default
        evaluate.add_argument(name, default=argparse.SUPPRESS, **details)

    add("--context", metavar="FILE", help="scores that are known, in place of a log")
    add("--query", metavar="FILE", help="scores to predict (default: each part of the context from its rest)")
    add("--prompts", metavar="FILE", help="texts of the prompts (default: prompts.jsonl beside the scores)")
    add("--folds", type=int, metavar="N", help="parts of each context where there is no --query (default: 8)")
    add("--score-rollouts", type=int, metavar="N", help="rollouts a score is the mean of (default: detected)")
    add("--reward-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="default: detected; -1 1 for scores")
    add_log_options(add)
    add(
        "--only-visits",
        nargs=2,
        type=int,
        metavar=("FIRST", "LAST"),
        help="only these visits of a prompt; 1 1: first ones",
    )
    add("--encoder", metavar="MODEL", help="a sentence-transformers model, name or path, to compare with TF-IDF")
    add("--heads", nargs="+", metavar="HEAD", help="gp, ridge, knn (default: all)")
    add("--rollouts", nargs="+", type=int, metavar="N", help="rollouts to make baselines from (default: 2 4 8)")
    add("--discount", type=float, metavar="D", help="of the history (default: 0.8)")
    add("--context-size", type=int, metavar="N", help="prompts in the context of a log (default: 256)")
    add("--refits", type=int, metavar="N", help="renewals of the context along a log, at most (default: 40)")
    add("--splits", type=int, metavar="N", help="random splits of each visit (default: 8)")
    add("--seed", type=int, metavar="N", help="of the splits and the intervals (default: 0)")
    evaluate.set_defaults(run=run_evaluate)


def run_evaluate(options):
    """`v05 priors evaluate`: compare with live progress, print tables or JSON, and draw on request."""
    from ..results import show_result
    from .evaluate import evaluate
    from .evaluation_picture import draw_evaluation
    from .evaluation_tables import print_evaluation

    given = {name: value for name, value in vars(options).items() if name not in ("run", "json", "out")}
    inputs = [path for path in (options.log, given.get("context"), given.get("query")) if path]
    show_result(
        options, inputs, lambda progress: evaluate(progress=progress, **given), print_evaluation, draw_evaluation
    )
