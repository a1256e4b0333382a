"""Which prompt a rollout belongs to, the same in every process and in every epoch."""

import hashlib
import json
from typing import Any

import numpy as np

from ..errors import ArgumentTypeError
from .arrays import is_tensor, to_numpy


def prompt_key(prompt: Any) -> int | str:
    """The key of a prompt: integers and strings are their own, also numpy's; chat messages and other JSON values
    become their canonical text, in which images and arrays stand by what is in them. Whoever keeps keys hashes the text
    to 64 bits (v05.History does). Raises ArgumentTypeError for an object that nothing tells from others at its next
    visit.

    A dataset with an id column needs no such key: ids are shorter, and tell apart equal texts with different answers.
    """
    if isinstance(prompt, np.generic):
        prompt = prompt.item()
    if isinstance(prompt, (int, str)) and not isinstance(prompt, bool):
        return prompt
    try:
        return json.dumps(prompt, sort_keys=True, ensure_ascii=False, default=content_key)
    except ArgumentTypeError:
        raise
    except (TypeError, ValueError, RecursionError) as error:  # keys of mixed kinds, something that holds itself
        kind = type(prompt).__name__
        raise ArgumentTypeError(f"a prompt must be told apart by what is in it, got a {kind}: {error}") from error


def token_key(tokens: Any) -> str:
    """The key of a prompt of which only the tokens are at hand, (n,) integers without padding."""
    data = np.ascontiguousarray(tokens, dtype=np.int64).tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def content_key(value: Any) -> Any:
    """What tells an image or an array from others, at every visit."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        if len(value) < 2 or all(type(one) is int for one in value):
            return repr(value)
        return f"set {sorted(map(repr, value))}"  # in an order that does not differ between processes
    if isinstance(value, np.ndarray) and value.dtype.hasobject and value.size:
        return value.tolist()  # its bytes are addresses
    if is_tensor(value):
        value = to_numpy(value, "a prompt")  # the repr of a large one leaves most of it out
    if isinstance(value, (bytes, bytearray, memoryview)) or hasattr(value, "tobytes"):
        data = value if isinstance(value, (bytes, bytearray)) else value.tobytes()
        form = [str(getattr(value, name, "")) for name in ("shape", "dtype", "size", "mode")]
        return hashlib.blake2b(data, digest_size=16).hexdigest() + " ".join(form).rstrip()
    found = repr(value)
    if f" at {id(value):#x}" in found:
        raise ArgumentTypeError(
            f"a prompt must be told apart by what is in it, got {found:.100}, of which nothing is the same at its next "
            "visit: give id_field, or an object with tobytes"
        )
    return found
