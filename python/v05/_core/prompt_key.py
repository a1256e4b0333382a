"""Which prompt a rollout belongs to, the same in every process and in every epoch."""

import hashlib
import json
from typing import Any

import numpy as np


def prompt_key(prompt: Any) -> int | str:
    """The key of a prompt: integers and strings are their own; chat messages and other JSON values become their
    canonical text. Whoever keeps keys hashes the text to 64 bits (v05.History does).

    A dataset with an id column needs no such key: ids are shorter, and tell apart equal texts with different answers.
    """
    if isinstance(prompt, (int, str)) and not isinstance(prompt, bool):
        return prompt
    return json.dumps(prompt, sort_keys=True, ensure_ascii=False, default=_content)


def token_key(tokens: Any) -> str:
    """The key of a prompt of which only the tokens are at hand, (n,) integers without padding."""
    data = np.ascontiguousarray(tokens, dtype=np.int64).tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _content(value):
    """What tells an image or an array from others, at every visit: the repr of most holds an address."""
    if hasattr(value, "tobytes"):
        return hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
    return repr(value)
