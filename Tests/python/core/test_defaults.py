"""What an argument is by default in Python it is in the core."""

import ctypes
import inspect
import math

import pytest
import v05
from v05._core import prototypes as c
from v05._core.call import call
from v05._core.library import library


def given(kind):
    """{argument: default} of a class; None where nothing is the default."""
    return {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}


def core(options, initialize):
    call(initialize, ctypes.byref(options), options.struct_size)
    return options


@pytest.mark.parametrize(
    "kind, options, initialize, nothing",
    [
        (v05.History, c.HistoryOptions, "v05_history_options_initialize", {"capacity": 0, "step_decay": 1.0}),
        (v05.Tracker, c.TrackerOptions, "v05_tracker_options_initialize", {"capacity": 0}),
        (
            v05.Allocator,
            c.AllocatorOptions,
            "v05_allocator_options_initialize",
            {"cost": math.nan, "budget": -1, "maximum_without_prior": -1},
        ),
    ],
)
def test_defaults_are_those_of_the_core(kind, options, initialize, nothing):
    """nothing: what the core has where Python's default is None."""
    python, options = given(kind), core(options(), getattr(library, initialize))
    names = {"rule": c.ALLOCATION_RULES, "look_ahead": c.LOOK_AHEADS}
    compared = set()
    for field, _ in options._fields_:
        if field == "struct_size":
            continue
        value = getattr(options, field)
        if field in ("reward_low", "reward_high"):
            assert python["reward_range"][field == "reward_high"] == value
        elif field in names:
            assert names[field][python[field]] == value
        elif python[field] is None:
            assert value == pytest.approx(nothing[field], nan_ok=True)
        else:
            assert python[field] == value
        compared.add(field)
    assert compared == {field for field, _ in options._fields_} - {"struct_size"} and nothing.keys() <= compared
