"""Reads the rollout logs of training runs, whatever trainer wrote them."""

from .errors import LogError
from .fields import Fields, fields_of
from .reward_range import detect_reward_range
from .rollout_log import RolloutLog, read_log

__all__ = ["Fields", "LogError", "RolloutLog", "detect_reward_range", "fields_of", "read_log"]
