"""The structs and functions of v05.h for ctypes, in the order of the header. A test compares both."""

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_void_p

ABI_VERSION = 1


class SizedStructure(ctypes.Structure):
    """A struct whose first field is its size, set on creation."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(type(self)), **fields)


class Error(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("status", c_int32),
        ("reserved", c_int32),
        ("index", c_int64),
        ("message", c_char * 256),
    ]


class Batch(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("row_count", c_int64),
        ("rewards_f32", c_void_p),
        ("rewards_f64", c_void_p),
        ("group_ids", c_void_p),
        ("group_offsets", c_void_p),
        ("group_count", c_int64),
        ("prior", c_void_p),
        ("mask", c_void_p),
        ("prior_strength", c_void_p),
        ("weights", c_void_p),
    ]


class EstimationOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rule", c_int32),
        ("leave_one_out", c_int32),
        ("reward_low", c_double),
        ("reward_high", c_double),
        ("scale", c_int32),
        ("ddof", c_int32),
        ("epsilon", c_double),
        ("singleton", c_int32),
        ("test", c_int32),
        ("level", c_double),
        ("check_fit", c_int32),
        ("reserved", c_int32),
    ]


class Calibration(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("intercept", c_double),
        ("slope", c_double),
        ("prior_variance", c_double),
        ("reward_variance", c_double),
        ("grand_mean", c_double),
        ("between_variance", c_double),
        ("groups", c_double),
        ("total_groups", c_double),
    ]


class Mixture(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("calibration", Calibration), ("weights", c_double * 40)]


class Estimate(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("advantages_f32", c_void_p),
        ("advantages_f64", c_void_p),
        ("row_group", c_void_p),
        ("group_capacity", c_int64),
        ("group_ids", c_void_p),
        ("count", c_void_p),
        ("effective_count", c_void_p),
        ("mean", c_void_p),
        ("prior", c_void_p),
        ("weight", c_void_p),
        ("baseline", c_void_p),
        ("bias_squared", c_void_p),
        ("mse", c_void_p),
        ("z", c_void_p),
        ("p_value", c_void_p),
        ("rejected", c_void_p),
        ("constant", c_void_p),
        ("calibration", c_void_p),
        ("mixture", c_void_p),
        ("group_count", c_int64),
        ("applied_rule", c_int32),
        ("calibration_applied", c_int32),
        ("reward_low", c_double),
        ("reward_high", c_double),
        ("refused_groups", c_int64),
    ]


class ModulationOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("alpha", c_double),
        ("floor", c_double),
        ("steepness", c_double),
        ("threshold", c_double),
        ("clip_low", c_double),
        ("clip_high", c_double),
    ]


class ModulationStatistics(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("token_count", c_int64),
        ("clipped", c_double),
        ("compensation", c_double),
        ("stabilization", c_double),
        ("largest_change", c_double),
        ("smallest_entropy", c_double),
        ("largest_entropy", c_double),
    ]


class RegressionMoments(ctypes.Structure):
    _fields_ = [
        ("groups", c_double),
        ("mean_prior", c_double),
        ("mean_reward", c_double),
        ("prior_prior", c_double),
        ("prior_reward", c_double),
        ("reward_reward", c_double),
        ("inverse_count", c_double),
    ]


class RunningCalibration(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("reward_low", c_double),
        ("reward_high", c_double),
        ("discount", c_double),
        ("updates", c_int64),
        ("within_squares", c_double),
        ("within_freedom", c_double),
        ("groups", c_double),
        ("total_groups", c_double),
        ("regression", RegressionMoments),
        ("grand", RegressionMoments),
    ]


class RunningMixture(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("counts", c_double * 40), ("calibration", RunningCalibration)]


class HistoryOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("reward_low", c_double),
        ("reward_high", c_double),
        ("discount", c_double),
        ("step_decay", c_double),
        ("capacity", c_int64),
        ("start_strength", c_double),
    ]


class TrackerOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("reward_low", c_double),
        ("reward_high", c_double),
        ("discount", c_double),
        ("slow_discount", c_double),
        ("forgetting", c_double),
        ("capacity", c_int64),
    ]


class AllocationOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("objective", c_int32),
        ("priority", c_int32),
        ("minimum", c_int64),
        ("maximum", c_int64),
        ("exponent", c_double),
    ]


class AllocatorOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rule", c_int32),
        ("look_ahead", c_int32),
        ("reward_low", c_double),
        ("reward_high", c_double),
        ("initial", c_int64),
        ("maximum", c_int64),
        ("wave", c_int64),
        ("cost", c_double),
        ("budget", c_int64),
        ("maximum_without_prior", c_int64),
    ]


# v05_rule, v05_scale, v05_singleton, v05_test, v05_objective, v05_allocation_rule, v05_look_ahead
RULES = {
    "v05": 0,
    "calibrated": 1,
    "grpo": 2,
    "rloo": 3,
    "james_stein": 4,
    "prior": 5,
    "median": 6,
    "discounted_beta": 7,
    "mixture": 8,
    "batch_mean": 9,
    "jspo": 10,
}
SCALES = {"none": 0, "group": 1, "batch": 2}
SINGLETONS = {"zero": 0, "raw": 1}
TESTS = {"bound": 0, "exact": 1}
OBJECTIVES = {"neyman": 0, "dynamo": 1, "v0": 2, "v0_greedy": 3, "hit": 4}
PRIORITIES = {"official": 0, "paper": 1, "probability": 2}
ALLOCATION_RULES = {"osla": 0, "neyman": 1}
LOOK_AHEADS = {"same_bias": 0, "same_mean": 1, "derivative": 2}

_error = POINTER(Error)
_batch = POINTER(Batch)
_options = POINTER(EstimationOptions)
_calibration = POINTER(Calibration)
_running = POINTER(RunningCalibration)
_mixture = POINTER(Mixture)
_running_mixture = POINTER(RunningMixture)
_size = POINTER(c_size_t)
_count = POINTER(c_int64)
# Opaque handles, v05_history *, v05_tracker * and v05_allocator *, and where a new one is written.
_handle = c_void_p
_new_handle = POINTER(c_void_p)

# Options, sizes, advantages, per_token, entropy, log_prob, old_log_prob, mask, modulated, statistics.
_modulate = [
    POINTER(ModulationOptions),
    c_int64,
    c_int64,
    c_void_p,
    c_int32,
    c_void_p,
    c_void_p,
    c_void_p,
    c_void_p,
    c_void_p,
    POINTER(ModulationStatistics),
    _error,
]

# name: (result, arguments)
FUNCTIONS = {
    "v05_abi_version": (c_uint32, []),
    "v05_version": (c_char_p, []),
    "v05_build_mode": (c_char_p, []),
    "v05_status_name": (c_char_p, [c_int32]),
    "v05_estimation_options_initialize": (c_int32, [_options, c_size_t, _error]),
    "v05_estimation_workspace_size": (c_int32, [_batch, _options, _size, _error]),
    "v05_baseline_estimate": (
        c_int32,
        [_batch, _options, _calibration, _mixture, c_void_p, c_size_t, POINTER(Estimate), _error],
    ),
    "v05_calibration_fit": (c_int32, [_batch, _options, c_void_p, c_size_t, _calibration, _error]),
    "v05_mixture_fit": (c_int32, [_batch, _options, c_void_p, c_size_t, _mixture, _error]),
    "v05_modulation_options_initialize": (c_int32, [POINTER(ModulationOptions), c_size_t, _error]),
    "v05_advantage_modulate_f32": (c_int32, _modulate),
    "v05_advantage_modulate_f64": (c_int32, _modulate),
    "v05_running_calibration_initialize": (c_int32, [_running, c_size_t, c_double, c_double, c_double, _error]),
    "v05_running_calibration_update": (c_int32, [_running, _batch, c_void_p, c_size_t, _error]),
    "v05_running_calibration_solve": (c_int32, [_running, _calibration, _error]),
    "v05_running_mixture_initialize": (c_int32, [_running_mixture, c_size_t, c_double, c_double, c_double, _error]),
    "v05_running_mixture_update": (c_int32, [_running_mixture, _batch, c_void_p, c_size_t, _error]),
    "v05_running_mixture_solve": (c_int32, [_running_mixture, _mixture, _error]),
    "v05_running_calibration_save": (c_int32, [_running, c_void_p, c_size_t, _size, _error]),
    "v05_running_calibration_load": (c_int32, [_running, c_void_p, c_size_t, _error]),
    "v05_running_mixture_save": (c_int32, [_running_mixture, c_void_p, c_size_t, _size, _error]),
    "v05_running_mixture_load": (c_int32, [_running_mixture, c_void_p, c_size_t, _error]),
    "v05_history_options_initialize": (c_int32, [POINTER(HistoryOptions), c_size_t, _error]),
    "v05_key_hash": (c_int32, [c_void_p, c_size_t, _count, _error]),
    "v05_key_hashes": (c_int32, [c_void_p, c_void_p, c_int64, c_void_p, _error]),
    "v05_history_create": (c_int32, [POINTER(HistoryOptions), _new_handle, _error]),
    "v05_history_destroy": (None, [_handle]),
    "v05_history_predict": (c_int32, [_handle, c_void_p, c_int64, c_int64, c_void_p, c_void_p, _error]),
    "v05_history_record": (c_int32, [_handle, _batch, c_int64, _error]),
    "v05_history_start": (c_int32, [_handle, c_void_p, c_void_p, c_void_p, c_int64, c_int64, _error]),
    "v05_history_merge": (c_int32, [_handle, _handle, _error]),
    "v05_history_count": (c_int32, [_handle, _count, _error]),
    "v05_history_inspect": (c_int32, [_handle, POINTER(HistoryOptions), _error]),
    "v05_history_save": (c_int32, [_handle, c_void_p, c_size_t, _size, _error]),
    "v05_history_load": (c_int32, [_new_handle, c_void_p, c_size_t, _error]),
    "v05_tracker_options_initialize": (c_int32, [POINTER(TrackerOptions), c_size_t, _error]),
    "v05_tracker_create": (c_int32, [POINTER(TrackerOptions), _new_handle, _error]),
    "v05_tracker_destroy": (None, [_handle]),
    "v05_tracker_predict": (c_int32, [_handle, c_void_p, c_void_p, c_int64, c_void_p, c_void_p, _error]),
    "v05_tracker_record": (c_int32, [_handle, _batch, _error]),
    "v05_tracker_fuse": (c_int32, [_handle, _batch, c_int32, c_void_p, _error]),
    "v05_tracker_calibration": (c_int32, [_handle, _calibration, _error]),
    "v05_tracker_merge": (c_int32, [_handle, _handle, _error]),
    "v05_tracker_count": (c_int32, [_handle, _count, _error]),
    "v05_tracker_inspect": (c_int32, [_handle, POINTER(TrackerOptions), _error]),
    "v05_tracker_save": (c_int32, [_handle, c_void_p, c_size_t, _size, _error]),
    "v05_tracker_load": (c_int32, [_new_handle, c_void_p, c_size_t, _error]),
    "v05_allocation_options_initialize": (c_int32, [POINTER(AllocationOptions), c_size_t, _error]),
    "v05_allocation_solve": (
        c_int32,
        [POINTER(AllocationOptions), c_int64, c_void_p, c_void_p, c_void_p, c_int64, c_void_p, _error],
    ),
    "v05_allocator_options_initialize": (c_int32, [POINTER(AllocatorOptions), c_size_t, _error]),
    "v05_allocator_create": (
        c_int32,
        [POINTER(AllocatorOptions), c_int64, c_void_p, c_void_p, c_void_p, _calibration, _mixture, _new_handle, _error],
    ),
    "v05_allocator_destroy": (None, [_handle]),
    "v05_allocator_request": (c_int32, [_handle, c_void_p, c_int64, _count, _error]),
    "v05_allocator_observe": (c_int32, [_handle, c_void_p, c_void_p, c_int64, _error]),
    "v05_allocator_observe_weighted": (c_int32, [_handle, c_void_p, c_void_p, c_void_p, c_int64, _error]),
    "v05_allocator_cancel": (c_int32, [_handle, c_void_p, c_int64, _error]),
    "v05_allocator_stop": (c_int32, [_handle, _error]),
    "v05_allocator_status": (
        c_int32,
        [_handle, _count, c_void_p, c_void_p, c_int64, POINTER(c_int32), POINTER(c_int32), _error],
    ),
    "v05_allocator_observations": (c_int32, [_handle, c_void_p, c_void_p, c_int64, _count, _error]),
    "v05_allocator_estimate": (c_int32, [_handle, _options, POINTER(Estimate), _error]),
    "v05_allocator_save": (c_int32, [_handle, c_void_p, c_size_t, _size, _error]),
    "v05_allocator_load": (c_int32, [_new_handle, c_void_p, c_size_t, _error]),
}


def declare(library):
    """Sets result and argument types of every function on a loaded library."""
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
