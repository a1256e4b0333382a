"""What is measured of a contestant, with standard errors.

outcome[repeat, quantity, prompt]  ->  {column: (value, standard error)}
"""

import numpy as np

QUANTITIES = ("rollouts", "error", "deviation", "noise", "signal", "silent")
COLUMNS = ("rollouts", "error", "bias", "bias_rms", "noise", "scale", "distortion", "silent")
ROOTS = ("bias_rms", "distortion")  # estimated as squares, of which noise can make a negative number
SILENT = 1e-12  # advantages below it are rounding


def measure(result, truth):
    """(quantity, prompt) of one batch, whose prompts have the true values `truth`."""
    count = np.bincount(result.prompt, minlength=len(truth))

    def mean(values):
        return np.bincount(result.prompt, values, len(truth)) / count

    apart = result.reward - truth[result.prompt]
    return np.stack(
        [
            count,
            mean((apart - result.advantage) ** 2),  # reward - advantage is the baseline
            mean(apart),
            mean(result.advantage**2) / count,
            mean(result.advantage * apart),
            mean(np.abs(result.advantage)) < SILENT,
        ]
    )


def summarise(outcome, variance):
    """The columns of a contestant; standard errors by leaving out one repeat after the other (jackknife).

    variance: (p,) of one reward of each prompt.
    """
    repeats = len(outcome)
    sums, squares = outcome.sum(axis=0), (outcome**2).sum(axis=0)
    value = _columns(sums, squares, repeats, variance)
    without = _columns(sums - outcome, squares - outcome**2, repeats - 1, variance)
    summary = {}
    for name in COLUMNS:
        error = np.sqrt((repeats - 1) * np.var(without[name]))
        found = value[name]
        if name in ROOTS:
            found = np.sqrt(max(found, 0.0))
            error = min(error / (2 * found), np.sqrt(error)) if found > 0 else np.sqrt(error)
        summary[name] = (float(found), float(error))
    return summary


def _columns(sums, squares, repeats, variance):
    """All columns from sums over repeats, (..., quantity, prompt); those of `ROOTS` squared."""
    rollouts, error, deviation, noise, signal, silent = np.moveaxis(sums / repeats, -2, 0)
    # The product of two different repeats, on average: unbiased where the square of a mean is not.
    deviation2, signal2 = (
        (sums[..., row, :] ** 2 - squares[..., row, :]) / (repeats * (repeats - 1))
        for row in (QUANTITIES.index("deviation"), QUANTITIES.index("signal"))
    )
    full = np.sum(variance**2)
    scale = np.sum(variance * signal, axis=-1) / full
    average = rollouts.mean(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "rollouts": average,
            "error": error.mean(axis=-1),
            "bias": deviation.mean(axis=-1),
            "bias_rms": deviation2.mean(axis=-1),
            "noise": average * noise.mean(axis=-1) / scale**2 / (16 / 15 * variance.mean()),
            "scale": scale,
            "distortion": np.sum(signal2, axis=-1) / full / scale**2 - 1,
            "silent": silent.mean(axis=-1),
        }
