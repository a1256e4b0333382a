"""Fields that are named by whoever reads a log, in place of those that would be found."""

from dataclasses import dataclass, field

from ...errors import InvalidArgument


@dataclass(frozen=True)
class Fields:
    """Names of fields that are to be used in place of those that would be found. None, {}: find them.

    reward: {name: weight}; the reward is the weighted sum of these fields. where: {name: text}; only rows whose fields
    are these are read.
    """

    prompt: str | None = None
    group: str | None = None
    step: str | None = None
    reward: dict = field(default_factory=dict)
    where: dict = field(default_factory=dict)

    def names(self):
        """The names that are given."""
        names = [self.prompt, self.group, self.step, *self.reward, *self.where]
        return [name for name in names if name is not None]

    def want(self, row):
        """Whether a row is to be read."""
        return all(name in row and _is_alike(str(row[name]), value) for name, value in self.where.items())


def _is_alike(value, wanted):
    """Whether two texts are the same word, or the same number: a table of floats has 3.0 for the step 3."""
    value, wanted = value.strip().lower(), wanted.strip().lower()
    if value == wanted:
        return True
    try:
        return float(value) == float(wanted)
    except ValueError:
        return False


def fields_of(reward=(), prompt=None, group=None, step=None, where=()):
    """The `Fields` of options as a command or a caller gives them."""
    for option, name in (("prompt", prompt), ("group", group), ("step", step)):
        if name is not None and not str(name).strip():  # as of a variable of the shell that is not set
            raise InvalidArgument(f"{option} must name a field, got {name!r}")
    return Fields(prompt, group, step, reward_weights(reward), _conditions(where))


def _conditions(where):
    """{name: text} of a dict, or a sequence of NAME=VALUE."""
    if isinstance(where, dict):
        return {str(name): str(value) for name, value in where.items()}
    found = {}
    for text in (where,) if isinstance(where, str) else where or ():
        name, equals, value = str(text).partition("=")
        if not equals or not name:
            raise InvalidArgument(f"where must be FIELD=VALUE, got {text!r}")
        found[name] = value
    return found


def reward_weights(reward):
    """{name: weight} of a dict, a name, or a sequence of names that may be written NAME=WEIGHT."""
    if isinstance(reward, dict):
        reward = [f"{name}={_weight(name, weight)!r}" for name, weight in reward.items()]
    weights = {}
    for text in (reward,) if isinstance(reward, str) else reward or ():
        name, equals, weight = str(text).rpartition("=")
        name, weight = (name, _weight(text, weight)) if equals else (str(text), 1.0)
        if name in weights:
            raise InvalidArgument(f"reward must name each field once, got {name} twice")
        weights[name] = weight
    if weights and not any(weights.values()):
        raise InvalidArgument("reward must have a field whose weight is not 0, got none")
    return weights


def _weight(name, weight):
    try:
        value = float(weight)
    except (TypeError, ValueError):
        value = float("nan")
    if not abs(value) < 1e30:
        raise InvalidArgument(f"reward must be fields or FIELD=WEIGHT with a finite weight, got {name!r}")
    return value
