"""What a call writes shares memory with nothing else of it: every pair is refused, and nothing is written."""

import ctypes
from ctypes import addressof, byref, c_int32, c_int64, c_size_t, sizeof

import numpy as np
import pytest
from v05._core import prototypes as c
from v05._core.library import library

OVERLAP = 106
ROWS, GROUPS = 12, 4
INPUTS = {
    "rewards_f64": np.tile([0.0, 1.0, 1.0], 4),
    "group_ids": np.repeat(np.arange(GROUPS), 3),
    "prior": np.full(ROWS, 0.5),
    "prior_strength": np.full(ROWS, 2.0),
    "mask": np.ones(ROWS, np.uint8),
    "weights": np.ones(ROWS),
}
OUTPUTS = {
    "advantages_f64": (ROWS, np.float64),
    "row_group": (ROWS, np.int64),
    "group_ids": (GROUPS, np.int64),
    "count": (GROUPS, np.int64),
    "effective_count": (GROUPS, np.float64),
    "mean": (GROUPS, np.float64),
    "prior": (GROUPS, np.float64),
    "weight": (GROUPS, np.float64),
    "baseline": (GROUPS, np.float64),
    "bias_squared": (GROUPS, np.float64),
    "mse": (GROUPS, np.float64),
    "z": (GROUPS, np.float64),
    "p_value": (GROUPS, np.float64),
    "rejected": (GROUPS, np.uint8),
    "constant": (GROUPS, np.uint8),
}


class Call:
    """An estimation with every array there is, each in memory of its own with room around it."""

    def __init__(self):
        self.memory = {}
        batch = {name: self.place("in " + name, array.nbytes, array) for name, array in INPUTS.items()}
        self.batch = c.Batch(row_count=ROWS, **batch)
        results = {
            name: self.place("out " + name, size * np.dtype(kind).itemsize) for name, (size, kind) in OUTPUTS.items()
        }
        self.estimate = c.Estimate(group_capacity=GROUPS, **results)
        self.calibration, self.mixture = c.Calibration(), c.Mixture()
        self.estimate.calibration, self.estimate.mixture = addressof(self.calibration), addressof(self.mixture)
        self.workspace = np.full(1 << 16, 0xAB, np.uint8)
        self.options = c.EstimationOptions()
        assert library.v05_estimation_options_initialize(byref(self.options), sizeof(self.options), None) == 0

    def place(self, name, size, array=None):
        room = np.full(size + 256, 0xCD, np.uint8)
        if array is not None:
            room[64 : 64 + size] = array.view(np.uint8)
        self.memory[name] = room
        return room.ctypes.data + 64

    def seen(self):
        return [bytes(room) for room in self.memory.values()] + [bytes(self.calibration), bytes(self.mixture)]

    def run(self):
        error = c.Error()
        status = library.v05_baseline_estimate(
            byref(self.batch),
            byref(self.options),
            None,
            None,
            self.workspace.ctypes.data,
            self.workspace.nbytes,
            byref(self.estimate),
            byref(error),
        )
        return status, error.message.decode()


def test_apart_is_fine():
    assert Call().run()[0] == 0


@pytest.mark.parametrize("shift", [-8, 0, 8])
@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_of_an_estimation(output, shift):
    """Over every input and every other output, exactly or partly, and over workspace and structs."""
    size = OUTPUTS[output][0] * np.dtype(OUTPUTS[output][1]).itemsize
    others = [name for name in Call().memory if name != "out " + output]
    for other in [*others, "workspace", "calibration", "mixture", "estimate"]:
        call = Call()
        if other in call.memory:
            start, length = call.memory[other].ctypes.data + 64, call.memory[other].nbytes - 256
        elif other == "workspace":
            start, length = call.workspace.ctypes.data + 128, 64
        else:
            start, length = addressof(getattr(call, other)), sizeof(getattr(call, other))
        at = start + shift
        touches = at < start + length and start < at + size
        if not touches and other not in call.memory:
            continue
        setattr(call.estimate, output, at)
        before = call.seen()
        status, message = call.run()
        if touches:
            assert status == OVERLAP and "must share memory with nothing else of the call" in message, (other, message)
            assert call.seen() == before and (call.workspace == 0xAB).all(), other
        else:
            assert status == 0, (other, message)


def test_room_per_group_is_the_capacity_but_never_more_than_a_row_needs():
    """Where results of as many groups as rows would overlap the call is refused, however few groups there are."""
    for capacity, room in ((GROUPS, GROUPS), (GROUPS + 1, GROUPS + 1), (ROWS, ROWS), (ROWS + 1, ROWS), (2**62, ROWS)):
        for missing in (0, 1):
            call = Call()
            call.estimate.group_capacity = capacity
            call.estimate.z = call.estimate.p_value = None
            space = np.zeros(2 * ROWS)
            call.estimate.mean = space.ctypes.data
            call.estimate.weight = space.ctypes.data + 8 * (room - missing)
            before = call.seen()
            status, message = call.run()
            assert status == (OVERLAP if missing else 0), message
            if missing:
                assert message == "weight must share memory with nothing else of the call" and call.seen() == before


def refused(function, *arguments):
    error = c.Error()
    status = function(*arguments, byref(error))
    return status == OVERLAP and b"must share memory with nothing else" in error.message


def test_other_calls():
    call = Call()
    running, mixture = c.RunningCalibration(), c.RunningMixture()
    assert library.v05_running_calibration_initialize(byref(running), sizeof(running), 0, 1, 0.9, None) == 0
    assert library.v05_running_mixture_initialize(byref(mixture), sizeof(mixture), 0, 1, 0.9, None) == 0

    # A fit into its own rewards, and one into its workspace.
    rewards = np.zeros(64)
    ctypes.memmove(rewards.ctypes.data, bytes(c.Calibration()), sizeof(c.Calibration))
    one_group = np.zeros(64, np.int64)
    batch = c.Batch(row_count=64, rewards_f64=rewards.ctypes.data, group_ids=one_group.ctypes.data)
    over = c.Calibration.from_address(rewards.ctypes.data)
    assert refused(library.v05_calibration_fit, byref(batch), None, None, 0, byref(over))
    inside = c.Mixture.from_buffer(call.workspace)
    inside.struct_size = sizeof(inside)
    ids = np.zeros(4, np.int64)
    ones = np.ones(4)
    small = c.Batch(row_count=4, rewards_f64=ones.ctypes.data, group_ids=ids.ctypes.data)
    space = call.workspace.ctypes.data, call.workspace.nbytes
    assert refused(library.v05_mixture_fit, byref(small), None, *space, byref(inside))
    ctypes.memmove(call.workspace.ctypes.data, bytes(running), sizeof(running))
    assert refused(
        library.v05_running_calibration_update,
        byref(c.RunningCalibration.from_buffer(call.workspace)),
        byref(small),
        *space,
    )
    ctypes.memmove(call.workspace.ctypes.data, bytes(mixture), sizeof(mixture))
    over = c.RunningMixture.from_buffer(call.workspace)
    assert refused(library.v05_running_mixture_update, byref(over), byref(small), *space)

    # A workspace that is the batch.
    assert refused(
        library.v05_baseline_estimate, byref(small), None, None, None, ids.ctypes.data, 32, byref(c.Estimate())
    )

    keys = np.arange(4)
    history = ctypes.c_void_p()
    assert library.v05_history_create(None, byref(history), None) == 0
    for values, strengths in ((keys.ctypes.data, None), (None, keys.ctypes.data + 8), (ones.ctypes.data,) * 2):
        assert refused(library.v05_history_predict, history, keys.ctypes.data, 4, 0, values, strengths)
    saved = np.zeros(4096, np.uint8)
    size = saved.ctypes.data_as(ctypes.POINTER(c_size_t))
    assert refused(library.v05_history_save, history, saved.ctypes.data, saved.nbytes, size)
    library.v05_history_destroy(history)
    assert refused(library.v05_key_hash, keys.ctypes.data, 8, keys.ctypes.data_as(ctypes.POINTER(c_int64)))
    assert refused(library.v05_key_hashes, call.workspace.ctypes.data, keys.ctypes.data, 3, keys.ctypes.data)

    probability = np.full(4, 0.5)
    assert refused(
        library.v05_allocation_solve, None, 4, probability.ctypes.data, None, None, 8, probability.ctypes.data
    )
    allocator = ctypes.c_void_p()
    assert library.v05_allocator_create(None, 4, None, None, None, None, None, byref(allocator), None) == 0
    pointer = keys.ctypes.data_as(ctypes.POINTER(c_int64))
    assert refused(library.v05_allocator_request, allocator, keys.ctypes.data, 4, pointer)
    assert refused(library.v05_allocator_status, allocator, None, keys.ctypes.data, keys.ctypes.data, 4, None, None)
    done = keys.ctypes.data_as(ctypes.POINTER(c_int32))
    assert refused(library.v05_allocator_status, allocator, pointer, None, None, 0, done, None)
    counts = np.zeros(4, np.int64)
    assert library.v05_allocator_request(allocator, counts.ctypes.data, 4, None, None) == 0 and counts.sum() == 16
    assert library.v05_allocator_observe(allocator, ids.ctypes.data, ones.ctypes.data, 4, None) == 0
    room = np.zeros(8)
    count = c_int64()
    assert refused(
        library.v05_allocator_observations, allocator, room.ctypes.data, room.ctypes.data + 24, 4, byref(count)
    )
    estimate = c.Estimate(advantages_f64=room.ctypes.data, row_group=room.ctypes.data + 8, group_capacity=4)
    assert refused(library.v05_allocator_estimate, allocator, None, byref(estimate))
    library.v05_allocator_destroy(allocator)

    state = np.zeros(4096, np.uint8)
    ctypes.memmove(state.ctypes.data, bytes(running), sizeof(running))
    over = c.RunningCalibration.from_buffer(state)
    size = c_size_t()
    assert refused(library.v05_running_calibration_save, byref(over), state.ctypes.data, state.nbytes, byref(size))
    assert refused(library.v05_running_calibration_load, byref(over), state.ctypes.data, 200)
    as_result = c.Calibration.from_buffer(state)
    assert refused(library.v05_running_calibration_solve, byref(over), byref(as_result))
    ctypes.memmove(state.ctypes.data, bytes(mixture), sizeof(mixture))
    over = c.RunningMixture.from_buffer(state)
    assert refused(library.v05_running_mixture_save, byref(over), state.ctypes.data, state.nbytes, byref(size))
    assert refused(library.v05_running_mixture_load, byref(over), state.ctypes.data, 200)
    assert refused(library.v05_running_mixture_solve, byref(over), byref(c.Mixture.from_buffer(state)))


def test_modulation():
    arrays = [np.full((2, 3), value) for value in (1.0, 0.5, -0.7, -0.7)]
    mask = np.ones((2, 3), np.uint8)
    given = [array.ctypes.data for array in arrays] + [mask.ctypes.data]
    advantages, entropy, log_prob, old, counted = given
    for over in given:
        assert refused(
            library.v05_advantage_modulate_f64, None, 2, 3, advantages, 1, entropy, log_prob, old, counted, over, None
        )
    statistics = c.ModulationStatistics.from_buffer(room := np.zeros(32))
    statistics.struct_size = sizeof(statistics)
    assert refused(
        library.v05_advantage_modulate_f64,
        None,
        2,
        3,
        advantages,
        1,
        entropy,
        log_prob,
        old,
        counted,
        room.ctypes.data,
        byref(statistics),
    )


def test_a_calibration_may_be_replaced_by_the_one_that_was_applied():
    """Structs that are read once may be the results, too."""
    call = Call()
    library.v05_calibration_fit(byref(call.batch), None, None, 0, byref(call.calibration), None)
    call.options.rule = c.RULES["calibrated"]
    call.calibration.groups = 100
    assert (
        library.v05_baseline_estimate(
            byref(call.batch), byref(call.options), byref(call.calibration), None, None, 0, byref(call.estimate), None
        )
        == 0
    )
    assert call.estimate.calibration_applied == 1 and call.calibration.groups == 100
