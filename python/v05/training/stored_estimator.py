"""An AdvantageEstimator for trainers that call one function and keep nothing for it: it keeps its own state."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from .._core.arguments import choice
from .._core.arrays import is_tensor, listed, mask_rows, optional_numbers
from .._core.files import check_writable, file_path, local_path
from .._core.prompt_key import prompt_key
from .._core.types import FilePath, GroupIds, Keys, Numbers, OptionalNumbers
from ..errors import ArgumentTypeError, Error, InvalidArgument
from .advantage_estimator import AdvantageEstimator, log
from .estimator_state import STATE_FILE, read_state, write_state
from .rollouts import counted_weights
from .score_weights import KINDS, score_weights, squared_norms

_NEARLY_ALL = 0.95
Self = TypeVar("Self", bound="StoredEstimator")


class StoredEstimator(AdvantageEstimator):
    """What the adapters of such trainers hold.

    state_path: file that holds what was learnt. Loaded now (where it does not exist a warning says so), replaced after
        every step, whole or not at all. None: nothing outlives the process, unless `save_in` is called.
    id_field: field of the trainer's records (columns of its dataset) that tells prompts apart; None: the prompt itself.
    prior_field: field that holds priors, for the priors "column" and "tracker+column"; None: "prior".
    weights: "none", "length" (the tokens of a rollout that the loss takes) or "score" (method.md, section 13): by what
        rollouts count, from what the trainer hands over. Needs torch. With "none" all count alike, and what the trainer
        hands over is for the figures v05/noise/... alone.
    log: called with the metrics of every step, {"v05/...": float}; None: a line of level INFO of the logger "v05".
    writes: whether this process writes the state; where several hold the same, one does.
    options: as in AdvantageEstimator.

    A file that cannot be written and a `log` that raises give one warning, they do not end a training run. A step that
    is interrupted, while the file is written too, is taken back: it may be tried again.
    """

    _mark: tuple[int, int, int] | None = None  # of the file, as this object wrote it last

    def __init__(
        self,
        *,
        state_path: FilePath | None = None,
        id_field: str | None = None,
        prior_field: str | None = None,
        weights: Literal["none", "length", "score"] = "none",
        log: Callable[[dict[str, float]], object] | None = None,
        writes: bool = True,
        **options: Any,
    ) -> None:
        _check_names(type(self), options)
        super().__init__(**options)
        for name, field in (("id_field", id_field), ("prior_field", prior_field)):
            if not isinstance(field, (str, type(None))):
                raise ArgumentTypeError(f"{name} must be the name of a field, got {field!r:.100}")
        if log is not None and not callable(log):
            raise ArgumentTypeError(f"log must be a function of the metrics of a step, got {log!r:.100}")
        if prior_field is not None and not self.reads_column:
            raise InvalidArgument(
                f'prior_field {prior_field!r} is read with prior "column" or "tracker+column" only, got prior '
                f"{self.prior!r:.100}"
            )
        self.state_path = None if state_path is None else Path(file_path(state_path, "state_path"))
        self.id_field = id_field
        self.weights = weights
        choice("weights", weights, dict.fromkeys(KINDS))
        if weights != "none":
            self.check_weights()
        self.prior_field = "prior" if prior_field is None else prior_field
        self._report = log or _log_line
        self.writes = writes
        # What the last step wrote, and the one before: a step that is interrupted in the middle of it is taken back.
        self._written = self._written_before = self.state_dict()
        if self.state_path is not None:
            check_writable(self.state_path, "state_path")
            self._resume(self.state_path)

    @classmethod
    def check(cls: type[Self], **options: Any) -> Self:
        """Raises for options that cannot be used, before anything else is done with them, and looks at no file. Returns
        one with these options and without a state_path, to be asked to `refuse`."""
        if options.get("state_path") is not None:
            local_path(options["state_path"], "state_path")
        return cls(**options | {"state_path": None})

    def refuse(
        self,
        trainer: str,
        *,
        columns: bool = False,
        texts: bool = False,
        probabilities: bool = False,
        tokens: bool = False,
    ) -> None:
        """Raises InvalidArgument where an option needs columns of the dataset, texts of prompts, log-probabilities of
        rollouts or their tokens, and `trainer` hands over none (True)."""
        if self.weights == "score" and probabilities or self.weights != "none" and tokens:
            needed, instead = ("tokens", "") if tokens else ("log-probabilities", ': use weights="length"')
            raise InvalidArgument(
                f"weights {self.weights!r} needs the {needed} of rollouts, which {trainer} does not hand over{instead}"
            )
        if columns and (self.id_field is not None or self.reads_column):
            asked = f"prior {self.prior!r:.100}" if self.reads_column else f"id_field {self.id_field!r}"
            raise InvalidArgument(f"{asked} needs the columns of the dataset, which {trainer} does not hand over")
        if texts and self.needs_texts:
            raise InvalidArgument(
                f"prior {self.prior!r:.100} needs the texts of prompts, which {trainer} does not hand over"
            )

    def keys(self, records: Sequence[Mapping[str, Any]], prompts: Sequence[Any]) -> list[int | str]:
        """The key of every prompt: the value of id_field in its record, a dict, or the prompt itself."""
        if self.id_field is None:
            return [prompt_key(prompt) for prompt in prompts]
        for row, record in enumerate(records):
            value = record.get(self.id_field)
            if value is None or value != value:  # NaN, as tables have it for none
                found = f"got {value!r} (row {row})" if self.id_field in record else f"got {sorted(record)} (row {row})"
                raise InvalidArgument(f"id_field {self.id_field!r} must be in every record, {found}")
        return [prompt_key(record[self.id_field]) for record in records]

    def column(self, records: Sequence[Mapping[str, Any]]) -> list | None:
        """The priors in the records, or None where they are not asked for."""
        return [record.get(self.prior_field) for record in records] if self.reads_column else None

    @property
    def weights_argument(self) -> Literal["weights", "squared_norms"]:
        """The keyword of `step` that takes the rows' score weights: "weights" where the option `weights` asks for them,
        else "squared_norms", for the figures alone."""
        return "squared_norms" if self.weights == "none" else "weights"

    def step_weights(
        self, count: int, weights_of: Callable[..., np.ndarray], *arguments: Any, **options: Any
    ) -> dict[str, Any]:
        """The score weights of `count` rows that weights_of(*arguments, **options) gives, by the keyword of `step` that
        takes them. Where they are for the figures alone nothing is raised: without them there are none, and training
        goes on."""
        if self.weights != "none":
            return {self.weights_argument: weights_of(*arguments, **options)}
        try:
            found = weights_of(*arguments, **options)
            usable = found.shape == (count,) and ((found >= 0) & (found < np.inf)).all()
            return {self.weights_argument: found} if usable else {}
        except Exception:  # whatever a trainer hands over
            return {}

    def score_weights(self, mask: Any, log_prob: Any = None, *, per_token: bool = False) -> np.ndarray:
        """(n,) score weights of rows as `weights` asks for them.

        mask: (n, tokens) tensor, or n sequences of any lengths, not 0 for the tokens that reach the loss.
        log_prob: the same of log-probabilities by the policy that drew the tokens. Where that of a row is None, as
            where an engine gave none, the weights of all are lengths, of which a warning tells once.
        per_token: whether the loss divides the terms of a row by its own length.

        With `weights` "none", for the figures alone, scores where log-probabilities are tensors, else lengths.
        """
        if self.weights == "none":
            return squared_norms(mask, log_prob, per_token=per_token)
        kind = self.weights
        unknown = log_prob is None or not is_tensor(log_prob) and any(row is None for row in log_prob)
        if kind == "score" and unknown:
            self.tell(
                "score",
                "weights are the lengths of rollouts: some come without log-probabilities; have the engine return them",
            )
            kind = "length"
        known = _padded(log_prob, np.nan) if kind == "score" else None
        return score_weights(kind, _padded(mask, 0), known, per_token=per_token).double().cpu().numpy()

    def advantages(
        self,
        rewards: OptionalNumbers,
        groups: GroupIds,
        keys: Keys,
        *,
        rollouts: GroupIds | None = None,
        prompts: Sequence[Any] | None = None,
        column: OptionalNumbers | None = None,
        mask: Numbers | None = None,
        weights: Numbers | None = None,
        squared_norms: Numbers | None = None,
    ) -> np.ndarray:
        """(n,) float64 advantages of a step, as `step` gives them, which see for the arguments.

        rollouts: (n,) hashables or None, for trainers that cut a rollout into several rows: rows with the same one, of
            the same group and with the same reward count once and share their advantage; their score weights add up.
            Those that the mask takes out have advantage 0; a rollout counts where one of its rows does.
        """
        rewards = optional_numbers(rewards, "rewards", self.reward_range or (0.0, 1.0))
        known: dict[str, Any] = dict(
            prompts=prompts, column=column, mask=mask, weights=weights, squared_norms=squared_norms
        )
        # Here and at the end nothing stands between the step and the answer where Ctrl-C could leave one without the
        # other.
        if rollouts is None:
            return self.step(rewards, groups, keys, **known).advantages
        groups, rollouts = listed(groups, "groups"), listed(rollouts, "rollouts")
        if rewards.shape != (len(rollouts),) or len(groups) != len(rollouts):
            raise InvalidArgument(
                f"rewards, groups and rollouts must have one entry per row, got shape {rewards.shape}, {len(groups)} "
                f"and {len(rollouts)}"
            )
        tensor = next((rollout for rollout in rollouts if is_tensor(rollout)), None)
        if tensor is not None:  # equal ones have hashes of their own, so that each would be another rollout
            raise ArgumentTypeError(f"rollouts must be integers or hashables, not tensors, got {tensor!r:.100}")
        try:
            first, back = _distinct(zip(groups, rollouts, rewards.tolist()))
        except TypeError as error:
            raise ArgumentTypeError(f"groups and rollouts must be integers or hashables: {error}") from error
        reward_of: dict[Any, float] = {}
        for row in first:
            reward, other = rewards[row], reward_of.setdefault((groups[row], rollouts[row]), rewards[row])
            if reward != other and not np.isnan([reward, other]).all():
                self.tell(
                    "disagree",
                    f"the rows of rollout {rollouts[row]!r:.100} have different rewards, {other:g} and "
                    f"{reward:g}: each reward counts as a rollout of its own",
                )
        counted = mask_rows(mask, len(rewards))
        scored = ~np.isnan(rewards) & (True if counted is None else counted != 0)
        known = dict(
            prompts=_rows(prompts, "prompts", first),
            column=_rows(column, "column", first),
            weights=_sums(weights, "weights", back, scored),
            squared_norms=_sums(squared_norms, "squared_norms", back, scored),
            mask=None if counted is None else np.bincount(back, counted, len(first)) > 0,
        )
        groups, keys = _rows(groups, "groups", first), _rows(keys, "keys", first)
        back = back if counted is None else np.where(counted, back, len(first))
        return np.append(self.step(rewards[first], groups, keys, **known).advantages, 0.0)[back]

    def _finish(self, found, after, said):
        """Reports the metrics, and keeps the state."""
        counted = found.estimate.count[found.estimate.count > 0]
        if len(counted) > 1 and np.mean(counted == 1) > _NEARLY_ALL:
            said["single"] = (
                f"{np.mean(counted == 1):.0%} of the groups hold a single rollout: if the trainer samples "
                "several of a prompt, its ids of groups are wrong and groups have no baseline"
            )
        try:
            self._report(found.metrics)
        except Exception as error:  # whatever a user's function raises: training goes on
            said["log"] = f"the function given as log failed: {error!r}"
        self._written_before = self._written
        super()._finish(found, after, said)
        if self.state_path is not None and self.writes:
            self._written = self._saved(self._state)
            self._write(self.state_path, self._written)

    def _restored(self, before):
        """Writing uses the history, which the state before the step has shared."""
        if self.state_path is None or not self.writes:
            return before
        self._written = self._written_before
        loaded = self._loaded(self._written, {})
        shown = {name: getattr(before, name) for name in ("told", "metrics", "noise", "window")}
        return dataclasses.replace(loaded, **shown)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._written = self.state_dict()

    def save_in(self, checkpoint: FilePath) -> None:
        """Keeps the state in the folder of a trainer's checkpoint."""
        if self.writes:
            self._write(Path(checkpoint, STATE_FILE), self.state_dict())

    def resume_from(self, checkpoint: FilePath) -> None:
        """Goes on with what `save_in` left in the folder; where it left nothing, a warning says so."""
        self._resume(Path(checkpoint, STATE_FILE))

    def _write(self, path, state):
        try:
            if path == self.state_path:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._check_own(path, state)
            write_state(path, state)
            if path == self.state_path:
                self._mark = _mark(path)
        except (OSError, Error) as error:  # a disk that is full, something else that now stands at the path
            self.tell("state", f"the state could not be written to {path} and will not be resumed: {error}")

    def _check_own(self, path, state):
        """Tells where another has written the file since the last step, and not the same, as processes in step do."""
        last, self._mark = self._mark, None  # Ctrl-C while the file is written leaves it unknown
        if last is None or _mark(path) in (None, last):
            return
        try:
            other = read_state(path) not in (self._written_before, state)
        except (OSError, Error):
            other = True
        if other:
            self.tell(
                "shared",
                f"another run or process has written {path} since the last step, and it is replaced: give each a "
                "state_path of its own",
            )

    def _resume(self, path):
        if path.exists():
            self.load(path)
        else:
            self.tell("resume", f"there is no state at {path}: training starts with nothing known of its prompts")


def _check_names(kind, options):
    """Raises for options that no class of `kind` has, as they come from configurations, too."""
    unknown = sorted(set(options) - set(inspect.signature(AdvantageEstimator).parameters))
    if unknown:
        each = [inspect.signature(parent).parameters for parent in reversed(kind.__mro__[:-1])]
        names = dict.fromkeys(name for parameters in each for name in parameters if name != "options")
        raise ArgumentTypeError(f"there is no option {unknown[0]!r}; the options are {', '.join(names)}")


def _mark(path):
    """What tells whether a file was replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


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


def _rows(values, name, index):
    """Those rows of a column, by position, also of a pandas Series, whose labels say nothing of it; None where there
    is none."""
    if values is None:
        return None
    values = listed(values, name)
    if len(index) and max(index) >= len(values):
        raise InvalidArgument(f"{name} must have one entry per reward, got {len(values)}")
    return [values[row] for row in index]


def _padded(rows, fill):
    """(n, tokens) tensor of n sequences, the shorter ones filled up; a tensor as it is."""
    import torch

    if is_tensor(rows):
        return rows
    rows = [torch.as_tensor(row, dtype=torch.float32) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill) if rows else torch.zeros(0, 0)


def _sums(weights, name, back, counted):
    """The weights of the rows that count, (n,) booleans, added up over each kind of row; None where there are none."""
    weights = counted_weights(name, weights, counted)
    return None if weights is None else np.bincount(back, weights)
