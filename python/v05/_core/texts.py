"""Prompts as texts, checked."""

from typing import Any

from ..errors import ArgumentTypeError, InvalidArgument


def checked_texts(prompts: Any, *, blank: bool) -> list[str]:
    """Prompts as a list of strings that are not empty. blank: whether they may be white space alone.

    Raises ArgumentTypeError for what is no sequence of strings, InvalidArgument for an empty prompt.
    """
    if isinstance(prompts, (str, bytes)) or not hasattr(prompts, "__iter__"):
        raise ArgumentTypeError(f"prompts must be a sequence of strings, got {type(prompts).__name__}")
    texts = list(prompts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ArgumentTypeError(f"prompts[{row}] must be a string, got {type(text).__name__}")
        if not text or not blank and text.isspace():
            raise InvalidArgument(f"prompts[{row}] must not be empty, got {text[:20]!r}")
    return texts
