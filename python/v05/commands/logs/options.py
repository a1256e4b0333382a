"""Options of commands that read a rollout log."""

LOG_OPTIONS = ("reward", "prompt", "group", "step", "where", "exclude", "only_prompts", "keep_evaluation")


def add_log_options(add):
    """Adds the options; `add` is that of the command, whose function has the defaults."""
    add(
        "--reward",
        nargs="+",
        metavar="FIELD",
        help="field of the reward, or several to add up, each as FIELD or FIELD=WEIGHT (default: found in the log)",
    )
    add("--prompt", metavar="FIELD", help="field that tells prompts apart")
    add("--group", metavar="FIELD", help="field that is equal for the rollouts of one prompt at one step")
    add("--step", metavar="FIELD", help="field of the training step")
    add("--where", nargs="+", metavar="FIELD=VALUE", help="read only the rows of which this is true")
    add("--exclude", metavar="FILE", help="leave out the prompts of this file: one per line, or rows with a prompt")
    add("--only-prompts", metavar="FILE", help="read only the prompts of this file")
    add(
        "--keep-evaluation",
        action="store_true",
        help="count rollouts of an evaluation that stand between those of the training",
    )
