"""An AdvantageEstimator for trainers that call one function and keep nothing for it: it keeps its own state."""

import json
from pathlib import Path

import numpy as np

from .._core.arrays import optional_numbers
from .._core.prompt_key import prompt_key
from ..errors import InvalidArgument
from .advantage_estimator import STATE_FILE, AdvantageEstimator, log

_NEARLY_ALL = 0.95


class StoredEstimator(AdvantageEstimator):
    """What the adapters of such trainers hold.

    state_path: file that holds what was learnt. Loaded now (where it does not exist a warning says so), replaced after
        every step, whole or not at all. None: nothing outlives the process, unless `save_in` is called.
    id_field: field of the trainer's records (columns of its dataset) that tells prompts apart; None: the prompt itself.
    prior_field: field that holds priors, for prior="column".
    log: called with the metrics of every step, {"v05/...": float}; None: a line of level INFO of the logger "v05".
    writes: whether this process writes the state; where several hold the same, one does.
    options: as in AdvantageEstimator.

    A file that cannot be written and a `log` that raises give one warning, they do not end a training run.
    """

    def __init__(self, *, state_path=None, id_field=None, prior_field="prior", log=None, writes=True, **options):
        super().__init__(**options)
        self.state_path = None if state_path is None else Path(state_path)
        self.id_field = id_field
        self.prior_field = prior_field
        self.metrics = {}
        self._report = log or _log_line
        self.writes = writes
        if self.state_path is not None:
            self._resume(self.state_path)

    @property
    def reads_texts(self):
        """Whether the prior is made of the texts of prompts."""
        return self.prior == "history+context" or callable(self.prior) and not hasattr(self.prior, "predict")

    def refuse(self, trainer, *, columns=False, texts=False):
        """Raises InvalidArgument where an option needs columns of the dataset, or texts of prompts, and `trainer` hands
        over none (True)."""
        if columns and (self.id_field is not None or self.prior == "column"):
            asked = 'prior "column"' if self.prior == "column" else f"id_field {self.id_field!r}"
            raise InvalidArgument(f"{asked} needs the columns of the dataset, which {trainer} does not hand over")
        if texts and self.reads_texts:
            raise InvalidArgument(
                f"prior {self.prior!r} needs the texts of prompts, which {trainer} does not hand over")

    def keys(self, records, prompts):
        """The key of every prompt: the value of id_field in its record, a dict, or the prompt itself."""
        if self.id_field is None:
            return [prompt_key(prompt) for prompt in prompts]
        missing = next((row for row, record in enumerate(records) if self.id_field not in record), None)
        if missing is not None:
            raise InvalidArgument(f"id_field {self.id_field!r} must be in every record, got {sorted(records[missing])} "
                                  f"(row {missing})")
        return [prompt_key(record[self.id_field]) for record in records]

    def column(self, records):
        """The priors in the records, or None where they are not asked for."""
        return [record.get(self.prior_field) for record in records] if self.prior == "column" else None

    def advantages(self, rewards, groups, keys, *, rollouts=None, prompts=None, column=None, mask=None):
        """(n,) float64 advantages of a step, as `step` gives them, which see for the arguments.

        rollouts: (n,) hashables or None, for trainers that cut a rollout into several rows: rows with the same one, of
            the same group and with the same reward count once and share their advantage.
        """
        rewards = optional_numbers(rewards, "rewards", (0.0, 1.0))
        if rollouts is None:
            return self.step(rewards, groups, keys, prompts=prompts, column=column, mask=mask).advantages
        first, back = _distinct(zip(groups, rollouts, rewards.tolist()))
        if mask is not None:
            mask = np.asarray(mask)[first]
        once = self.step(
            rewards[first], _rows(groups, first), _rows(keys, first), prompts=_rows(prompts, first),
            column=_rows(column, first), mask=mask)
        return once.advantages[back]

    def step(self, rewards, groups, keys, **arguments):
        """As in AdvantageEstimator; then keeps the state and reports the metrics."""
        found = super().step(rewards, groups, keys, **arguments)
        unscored = int(np.isnan(optional_numbers(rewards, "rewards", (0.0, 1.0))).sum())
        if unscored:
            self._tell("unscored", f"{unscored} of {len(rewards)} rollouts have no reward (None or NaN): "
                                   "they count nowhere and their advantage is 0")
        counted = found.estimate.count[found.estimate.count > 0]
        if len(counted) > 1 and np.mean(counted == 1) > _NEARLY_ALL:
            self._tell("single", f"{np.mean(counted == 1):.0%} of the groups hold a single rollout: if the trainer "
                                 "samples several of a prompt, its ids of groups are wrong and groups have no baseline")
        self.metrics = found.metrics
        if self.state_path is not None:
            self._keep(self.state_path)
        try:
            self._report(found.metrics)
        except Exception as error:  # whatever a user's function raises: training goes on
            self._tell("log", f"the function given as log failed: {error!r}")
        return found

    def save_in(self, checkpoint):
        """Keeps the state in the folder of a trainer's checkpoint."""
        self._keep(Path(checkpoint, STATE_FILE))

    def resume_from(self, checkpoint):
        """Goes on with what `save_in` left in the folder; where it left nothing, a warning says so."""
        self._resume(Path(checkpoint, STATE_FILE))

    def _keep(self, path):
        if not self.writes:
            return
        try:
            if path == self.state_path:
                path.parent.mkdir(parents=True, exist_ok=True)
            self.save(path)
        except OSError as error:
            self._tell("state", f"the state could not be written to {path} and will not be resumed: {error}")

    def _resume(self, path):
        if path.exists():
            self.load(path)
        else:
            self._tell("resume", f"there is no state at {path}: training starts with nothing known of its prompts")


def _log_line(metrics):
    log.info("%s", json.dumps({name: round(value, 6) for name, value in metrics.items()}))


def _distinct(rows):
    """Index of the first of every kind of row, in order, and the place of each row among them."""
    place_of, first, back = {}, [], []
    for row, kind in enumerate(rows):
        place = place_of.setdefault(kind, len(first))
        if place == len(first):
            first.append(row)
        back.append(place)
    return np.array(first, dtype=np.int64), np.array(back, dtype=np.int64)


def _rows(values, index):
    return None if values is None else [values[row] for row in index]
