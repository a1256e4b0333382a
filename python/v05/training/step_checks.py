"""What a step is looked through for, as a mistake in what the trainer hands over would train in silence.

`found` is the Estimate of the step; `said` takes warnings, kind: sentence.
"""

import numpy as np

from ..errors import InvalidArgument


def check_signal(found, rollouts, unscaled, rule, said):
    """A step without any advantage is told once: training would go on and learn nothing."""
    if unscaled.any() or not rollouts.counted.any() or rollouts.values.min() == rollouts.values.max():
        return
    single = (found.count <= 1).all()
    if rollouts.weights is not None and not rollouts.weights.any():
        reason = "every score weight is 0"
    elif rule.name == "batch_mean":
        reason = "rule 'batch_mean' compares a rollout with those of other groups, and there are none"
    elif not rule.needs_siblings and np.isnan(found.prior).all():
        reason = "no prompt has a prior, and in no group do the rewards differ"
    elif single:
        reason = f"every group has one rollout, and rule {rule.name!r} compares a rollout with others of its group"
    else:
        reason = f"rule {rule.name!r} compares the rollouts of a group, and in no group do the rewards differ"
    said["no signal"] = f"every advantage of this step is 0 although its rewards differ: {reason}"


def check_calibration(found, rule, source, said):
    """Single rollouts calibrate nothing but a source that can learn from them: the paper's rule stands in, for all of
    the run where no group has two."""
    if rule.name != "calibrated" or found.rule == rule.name or hasattr(source, "calibration") or "alone" in said:
        return
    if np.count_nonzero(found.count == 1) > 1 and (found.count <= 1).all():
        said["single rollouts"] = (
            'rule "calibrated" is "v05" as long as every prompt has one rollout, of which nothing can be calibrated: '
            'prior="tracker", or "tracker+column", learns from single rollouts, and rule="prior" takes priors as they '
            "are"
        )


def check_groups(found, keys, said):
    """Wrong ids remove the baseline in silence, or mix prompts: ids of groups and of prompts must agree."""
    hashes, group = keys.hashes, found.row_group
    # Rows where another group or prompt begins: the others are as the row before.
    heads = np.flatnonzero((group[1:] != group[:-1]) | (hashes[1:] != hashes[:-1])) + 1
    heads = np.concatenate([np.zeros(min(len(keys), 1), heads.dtype), heads])
    # Groups are in order of first appearance: a new one has a higher number than all before.
    first = heads[np.flatnonzero(np.diff(np.maximum.accumulate(group[heads]), prepend=-1))]
    other = heads[hashes[heads] != hashes[first[group[heads]]]]
    if len(other):
        row = int(other[0])
        raise InvalidArgument(
            f"the rollouts of a group must be of one prompt, got {keys[int(first[found.row_group[row]])]!r:.100} "
            f"and {keys[row]!r:.100} (row {row}) in group {found.groups[found.row_group[row]]!r:.100}"
        )
    alone = first[found.count == 1]
    if len(alone) > 1 and len(np.unique(hashes[alone])) <= len(alone) / 2:
        said["alone"] = (
            f"{len(alone)} groups hold one rollout, though their prompts come more than once in the batch: "
            "group ids seem to differ between rollouts of a prompt"
        )
