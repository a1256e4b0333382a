"""Figures as JSON, which knows no NaN, no infinity and nothing of numpy."""

import json
from math import isfinite

import numpy as np


def plain(value):
    """The value as plain types; NaN and infinity become None."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not isfinite(value) else value


def json_text(value, indent=2):
    """The value as JSON in ASCII."""
    return json.dumps(plain(value), indent=indent, allow_nan=False)
