"""The log that `v05 replay` ships: every rollout of one run of TRL's GRPOTrainer, as released."""

import gzip
import json

from ..outputs import write_output
from .arms import Arm
from .setting import RECORDED

SEED = 2026
# A small rate: pass rates drift over many visits, as they do in a large run.
ARM = Arm("recorded", "GRPO 8", 8, 5e-5)


def record_log(path, progress):
    """Write the log, one line of JSON a rollout, compressed. On one machine a second run gives the same bytes.

    progress(stage, done, total) is called after every step.
    """
    from .experiment import train, warm_start

    start = warm_start(RECORDED, SEED, "cpu", lambda done, total: progress("warm-up", done, total))
    rows = []
    train(
        ARM,
        start,
        RECORDED,
        SEED,
        "cpu",
        lambda rollouts, _: progress("training", rollouts, RECORDED.rollouts),
        log=rows,
    )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    # mtime=0: the time of the recording would change the bytes.
    write_output(path, gzip.compress(text.encode(), compresslevel=9, mtime=0))
