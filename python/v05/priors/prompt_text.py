"""What of a prompt's text is kept and looked at."""

from hashlib import blake2b
from typing import Any

from .._core.texts import checked_texts

MOST_CHARACTERS = 16_384


def checked_prompts(prompts: Any) -> list[str]:
    """Prompts as a list of strings of at most MOST_CHARACTERS, the middle of longer ones left out.

    Raises ArgumentTypeError for what is no sequence of strings, InvalidArgument for an empty or blank prompt.
    """
    return list(map(shortened, checked_texts(prompts, blank=False)))


def shortened(prompt: str) -> str:
    """Beginning and end of a text of megabytes, where a prompt says what it wants; as characters that UTF-8 can say."""
    if len(prompt) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        prompt = prompt[:half] + prompt[-half:]
    return prompt.encode("utf-8", "replace").decode("utf-8")


def digest(text: str, size: int = 16) -> bytes:
    """The same bytes for the same text everywhere."""
    return blake2b(text.encode("utf-8"), digest_size=size).digest()
