"""What the tests of the adapters share: batches, what must come of them, the trainers' released code, stand-ins."""

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
import types
import zipfile

import numpy as np
import pytest
import v05
from conftest import ROOT, reference_values

CONTRACTS = ROOT / "Tests" / "python" / "trainer_contracts"


@dataclasses.dataclass
class Batch:
    """Rollouts of one step: a reward may be None; groups are new at every step, keys name the prompts for ever."""

    rewards: list
    groups: list
    keys: list


def batches(seed=3, steps=5, prompts=16, missing=True, even=None):
    """Steps over the same prompts, each visited with 1 to 7 rollouts (or `even` of them), rows of a group together."""
    generator = np.random.default_rng(seed)
    chance = generator.beta(0.5, 0.5, prompts)
    for step in range(steps):
        sizes = generator.integers(1, 8, prompts) if even is None else np.full(prompts, even)
        prompt = np.repeat(generator.permutation(prompts), sizes)
        rewards = (generator.random(len(prompt)) < chance[prompt]).astype(float).tolist()
        if missing:
            rewards[int(generator.integers(len(rewards)))] = None
        yield Batch(rewards, (prompt + 1000 * step).tolist(), [f"prompt {number}" for number in prompt])


def stock(batch, ddof=1, epsilon=1e-6, singleton="zero", leave_one_out=False):
    """What GRPO gives with the trainers' conventions: (r - mean) / (std + epsilon) within a group."""
    rewards, groups = np.array(batch.rewards, float), np.array(batch.groups)
    advantages = np.zeros(len(rewards))
    for row, reward in enumerate(rewards):
        others = rewards[(groups == groups[row]) & ~np.isnan(rewards)]
        if np.isnan(reward):
            continue
        if len(others) == 1:
            advantages[row] = reward / (1 + epsilon) if singleton == "raw" else 0.0
            continue
        if leave_one_out:
            others = np.delete(others, np.flatnonzero(others == reward)[0])
        spread = others.std(ddof=ddof) if len(others) > ddof else 0.0
        advantages[row] = (reward - others.mean()) / (spread + epsilon if spread > 0 else 1.0)
    return advantages


class Reference:
    """The rules "v05" and "calibrated" with a history, leave-one-out and rewards in [0, 1], row by row."""

    def __init__(self, rule, discount=0.8):
        self.rule, self.discount = rule, discount
        self.seen, self.level = {}, None
        self.calibration = v05.RunningCalibration()

    def step(self, batch):
        rewards, groups = np.array(batch.rewards, float), np.array(batch.groups)
        scored = ~np.isnan(rewards)
        learnt = prior = np.array([self._value(key) for key in batch.keys])
        if self.level is None:  # the first step: the mean of the other groups
            prior = np.array([rewards[scored & (groups != group)].mean() for group in groups])
        fitted = self.calibration.calibration if self.calibration.updates else None
        if fitted is None or fitted.groups < 8:
            fitted = v05.fit_calibration(np.where(scored, rewards, 0.0), groups, prior, mask=scored)
        advantages = np.zeros(len(rewards))
        for row in np.flatnonzero(scored):
            others = np.delete(rewards, row)[np.delete((groups == groups[row]) & scored, row)]
            if self.rule == "calibrated" and fitted.groups >= 8:
                baseline = self._calibrated(others, prior[row], fitted)
            else:
                baseline = self._paper(others, prior[row])
            advantages[row] = 0.0 if np.isnan(baseline) else rewards[row] - baseline
        self.calibration.update(np.where(scored, rewards, 0.0), groups, learnt, mask=scored)
        counted = rewards[scored]
        self.level = (
            (counted.sum() + 0.5) / (len(counted) + 1)
            if self.level is None
            else self.level + 0.2 * (counted.mean() - self.level)
        )
        for key in dict.fromkeys(batch.keys):
            mine = rewards[scored & np.array([other == key for other in batch.keys])]
            if len(mine):
                total, count = self.seen.get(key, (0.0, 0.0))
                self.seen[key] = (self.discount * total + mine.sum(), self.discount * count + len(mine))
        return advantages

    def _value(self, key):
        if self.level is None:
            return np.nan
        total, count = self.seen.get(key, (0.0, 0.0))
        return (total + self.level) / (count + 1)

    @staticmethod
    def _paper(others, prior):
        if not len(others):
            return prior
        if np.isnan(prior):
            return others.mean()
        noise = 0.25 / len(others)
        bias = max(0.0, (others.mean() - prior) ** 2 - noise)
        weight = bias / (bias + noise)
        return weight * others.mean() + (1 - weight) * prior

    @staticmethod
    def _calibrated(others, prior, fitted):
        known = not np.isnan(prior)
        line = np.clip(fitted.intercept + fitted.slope * prior, 0, 1) if known else fitted.grand_mean
        spread = fitted.prior_variance if known else fitted.between_variance
        if not len(others):
            return line
        noise = fitted.reward_variance / len(others)
        weight = spread / (spread + noise) if noise > 0 else 1.0
        return line + weight * (others.mean() - line)


def check_rules(adapter, **shape):
    """The adapter, a function of rule that gives a function from a Batch to advantages, meets the Reference."""
    for rule in ("v05", "calibrated"):
        advantages_of, reference = adapter(rule), Reference(rule)
        for batch in batches(**shape):
            np.testing.assert_allclose(advantages_of(batch), reference.step(batch), atol=2e-6)


def check_figures(adapter, norms_of):
    """The adapter, a function of options that gives a function from a Batch to advantages, logs the figures of noise
    without being asked for weights, those of the squared norms by hand, norms_of(batch), and its advantages are those
    without them."""
    logged = []
    advantages_of = adapter(log=logged.append)
    plain, watched = (v05.AdvantageEstimator(reward_range=(0, 1)) for _ in range(2))
    for batch in batches():
        step = np.array(batch.rewards, float), batch.keys, batch.keys
        np.testing.assert_allclose(advantages_of(batch), plain.step(*step).advantages, atol=2e-6)
        expected = noise_figures(watched.step(*step, squared_norms=norms_of(batch)).metrics)
        assert {"v05/noise/rule", "v05/noise/history_weighted"} < set(expected)
        assert noise_figures(logged[-1]) == pytest.approx(expected, rel=1e-5)


def noise_figures(metrics):
    return {name: figure for name, figure in metrics.items() if name.startswith("v05/noise/")}


def check_resume(adapter, **shape):
    """Stopped after two steps and made anew, the adapter gives bit for bit what it gives without a stop."""
    whole = [adapter("whole")] * 5
    parts = [adapter("parts")] * 2
    steps = list(batches(**shape))
    expected = [advantages_of(batch) for advantages_of, batch in zip(whole, steps)]
    found = [advantages_of(batch) for advantages_of, batch in zip(parts, steps[:2])]
    again = adapter("parts")
    found += [again(batch) for batch in steps[2:]]
    for ours, theirs in zip(found, expected):
        np.testing.assert_array_equal(ours, theirs)
    first = adapter("fresh")
    assert not np.array_equal(first(steps[2]), expected[2])  # what was learnt matters


def warnings(caplog, words):
    return [record.message for record in caplog.records if record.name == "v05" and words in record.message]


def recorded(trainer, *functions, **options):
    """The recorded numbers of a trainer's own functions with these options (Tests/ReferenceValues/trainers.py)."""
    cases = [
        case
        for case in reference_values("trainers.json")[trainer]["cases"]
        if case["function"] in functions and "differs" not in case and options.items() <= case["options"].items()
    ]
    assert len(cases) >= 3
    return cases


# The trainers.


def contract(trainer):
    """What the adapter relies on in a trainer: version, and the parameters of the functions on both sides."""
    return json.loads((CONTRACTS / f"{trainer}.json").read_text())


def check_parameters(function, names):
    """`function` can be called with exactly the parameters that the trainer passes, given as a list (by position) or a
    dict (by name)."""
    signature = inspect.signature(function)
    signature.bind(*names) if isinstance(names, list) else signature.bind(**names)


def released(requirement, cache, python_version="3.12"):
    """From the end of a path to the text of that file in a released wheel, downloaded once a checkout."""
    folder = cache.mkdir("wheels") / requirement.replace("==", "-")
    if not folder.is_dir():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        target = folder.with_name(folder.name + ".part")
        done = subprocess.run(
            [*download, "--retries", "0", "--python-version", python_version, "--dest", str(target), requirement],
            capture_output=True,
            timeout=300,
        )
        if done.returncode:
            pytest.skip(f"{requirement} cannot be downloaded here")
        target.rename(folder)
    (path,) = folder.iterdir()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()

        @functools.cache
        def source(ending):
            (name,) = (name for name in names if name.endswith(ending))
            with zipfile.ZipFile(path) as opened:
                return opened.read(name).decode()

    return source


def definitions(source, names, **namespace):
    """The named functions and classes of a module, without the rest of it."""
    pytest.importorskip("torch")
    path = ROOT / "Tests" / "ReferenceValues" / "trainers.py"
    specification = importlib.util.spec_from_file_location("trainers", path)
    trainers = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(trainers)
    return trainers.definitions(source, names, **namespace)


def host(monkeypatch, adapter, **modules):
    """The module of an adapter, imported among stand-ins for the trainer's modules ({"a__b": {name: value}} is a.b)."""
    for path, names in modules.items():
        name = path.replace("__", ".")
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            package = ".".join(parts[:length])
            if package not in sys.modules:
                module = types.ModuleType(package)
                module.__path__ = []
                monkeypatch.setitem(sys.modules, package, module)
                if length > 1:
                    parent = sys.modules[".".join(parts[: length - 1])]
                    monkeypatch.setattr(parent, parts[length - 1], module, raising=False)
        for attribute, value in names.items():
            monkeypatch.setattr(sys.modules[name], attribute, value, raising=False)
    monkeypatch.delitem(sys.modules, f"v05.{adapter}", raising=False)
    return importlib.import_module(f"v05.{adapter}")
