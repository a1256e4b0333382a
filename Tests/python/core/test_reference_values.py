"""Agreement with values computed in 50 digits (Tests/ReferenceValues/estimation.py)."""

import numpy as np
import pytest
import v05
from conftest import reference_values

CASES = reference_values("estimation.json")
PER_GROUP = ("mean", "prior", "weight", "baseline", "bias_squared", "mse", "z", "p_value")


def arguments(case):
    options = dict(case["options"])
    prior = case["prior"] and [np.nan if value is None else value for value in case["prior"]]
    calibration = case["calibration"] and v05.Calibration(**case["calibration"])
    return dict(
        rewards=np.array(case["rewards"], dtype=np.float64),
        groups=np.array(case["groups"], dtype=np.int64),
        prior=prior,
        mask=case["mask"],
        calibration=calibration,
        reward_range=tuple(options.pop("reward_range")),
        check_fit=False,  # the reference applies what is given
        **options,
    )


def floats(values):
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def tolerance(case):
    """1e-12 of the size of what the case computes with."""
    counted = [abs(r) for r, m in zip(case["rewards"], case["mask"] or [1] * len(case["rewards"])) if m]
    return 1e-12 * max([1.0, *counted, *map(abs, case["options"]["reward_range"])])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_estimate_equals_reference(case):
    found = v05.estimate(**arguments(case))
    expected = case["expected"]
    assert found.rule == expected["rule"]
    assert found.groups.tolist() == expected["groups"]
    assert found.row_group.tolist() == expected["row_group"]
    assert found.count.tolist() == expected["count"]
    assert found.rejected.tolist() == [bool(value) for value in expected["rejected"]]
    assert found.constant.tolist() == [bool(value) for value in expected["constant"]]
    bound = tolerance(case)
    for name in PER_GROUP:
        # Squared quantities of large rewards are compared on their own scale.
        scale = bound**2 / 1e-12 if name in ("bias_squared", "mse") and bound > 1e-12 else bound
        np.testing.assert_allclose(
            getattr(found, name), floats(expected[name]), rtol=1e-12, atol=scale, equal_nan=True, err_msg=name
        )
    divides = case["options"]["scale"] != "none"
    np.testing.assert_allclose(
        found.advantages, floats(expected["advantages"]), rtol=1e-12, atol=bound * (1e3 if divides else 1)
    )


@pytest.mark.parametrize(
    "case", [case for case in CASES if "expected_calibration" in case], ids=lambda case: case["name"]
)
def test_calibration_equals_reference(case):
    given = arguments(case)
    found = v05.fit_calibration(
        given["rewards"], given["groups"], given["prior"], reward_range=given["reward_range"], mask=given["mask"]
    )
    running = v05.RunningCalibration(reward_range=given["reward_range"])
    updated = running.update(given["rewards"], given["groups"], given["prior"], mask=given["mask"])
    h2 = (given["reward_range"][1] - given["reward_range"][0]) ** 2 / 4
    for name, expected in case["expected_calibration"].items():
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-12, atol=1e-12 * max(1, h2), err_msg=name)
        np.testing.assert_allclose(getattr(updated, name), expected, rtol=1e-10, atol=1e-11 * max(1, h2), err_msg=name)
