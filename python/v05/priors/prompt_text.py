"""What of a prompt's text is kept and looked at."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from .._core.prompt_key import prompt_key
from .._core.texts import checked_texts

MOST_CHARACTERS = 16_384


def checked_prompts(prompts: Any) -> list[str]:
    """Prompts as a list of strings of at most MOST_CHARACTERS, the middle of longer ones left out.

    Raises ArgumentTypeError for what is no sequence of strings, InvalidArgument for an empty or blank prompt.
    """
    return list(map(shortened, checked_texts(prompts, blank=False)))


def prompt_text(prompt: Any) -> str:
    """What a prompt says: of chat messages the contents, one below the other, of a content of parts those of text.

    A text is its own. Anything else has its canonical form (see prompt_key).
    """
    if isinstance(prompt, (list, tuple)) and prompt and all(isinstance(one, Mapping) for one in prompt):
        contents = [_content(message.get("content")) for message in prompt]
        if any(contents):
            return "\n".join(filter(None, contents))
    return str(prompt_key(prompt))


def _content(content):
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, (list, tuple)) else ()
    return "\n".join(part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str))


def shortened(prompt: str) -> str:
    """Beginning and end of a text of megabytes, where a prompt says what it wants; as characters that UTF-8 can say."""
    if len(prompt) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        prompt = prompt[:half] + prompt[-half:]
    return prompt.encode("utf-8", "replace").decode("utf-8")


def digest(text: str, size: int = 16) -> bytes:
    """The same bytes for the same text everywhere."""
    return blake2b(text.encode("utf-8"), digest_size=size).digest()
