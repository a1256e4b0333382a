"""Numbers as people write them into a log: as text, as words, as a list in one cell."""

import ast
import json
import re

WORDS = {
    "true": 1.0,
    "false": 0.0,
    "pass": 1.0,
    "fail": 0.0,
    "passed": 1.0,
    "failed": 0.0,
    "correct": 1.0,
    "incorrect": 0.0,
    "yes": 1.0,
    "no": 0.0,
    "np.true_": 1.0,
    "np.false_": 0.0,
}
MISSING = {"", "none", "null", "na", "n/a", "nan", "<na>"}
LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # of the scorers of inspect
# What harnesses call how a program ended; anything but the first is no success.
STATUSES = ("base_status", "plus_status", "status")
ENDINGS = {"ok": 1.0, "timeout": 0.0, "exception": 0.0, "syntaxerror": 0.0}
DECIMAL = re.compile(r"\s*[+-]?\d*,\d+\s*")
THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*")  # "1,000" may be one or a thousand
# A number, and a list, as str() and repr() write those of numpy and PyTorch: "np.float32(1.0)", "tensor([1., 0.])".
SCALAR = re.compile(r"(?:np\.\w+|tensor|array)\(([^()\[\],]*)(?:,[^()]*)?\)")
ARRAY_END = re.compile(r"(?:,[^()]*)?\)")  # behind the last bracket
MOST = 2**16  # characters of an object in a cell


def number_of(text, field=""):
    """The number that a text stands for, None where it is no number; NaN where it says that there is none.

    field: whose value it is; some have words of their own.
    """
    word = text.strip().lower()
    if word in MISSING:
        return float("nan")
    if word in WORDS:
        return WORDS[word]
    name = field.rpartition(".")[2]
    if name == "value" and text in LETTERS:
        return LETTERS[text]
    if name in STATUSES and word in ENDINGS:
        return ENDINGS[word]
    if DECIMAL.fullmatch(text) and not THOUSANDS.fullmatch(text):
        text = text.replace(",", ".")
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    found = SCALAR.fullmatch(word)
    return number_of(found[1], field) if found else None


def is_folded(value):
    """Whether a value is a text that may hold a list or an object."""
    return isinstance(value, str) and value.lstrip().startswith(("[", "{", "tensor([", "array(["))


def unfolded(text):
    """The numbers of a list in one cell, "[0, 1, 1]", as JSON, Python or numpy write them, or the object of a cell;
    the text itself where it is neither."""
    text = text.strip()
    end = text.rfind("]") + 1
    if text.startswith(("tensor([", "array([")) and ARRAY_END.fullmatch(text, end):
        text = text[text.index("[") : end]
    if text.startswith("[") and text.endswith("]"):
        parts = re.split(r"[,\s]+", SCALAR.sub(r"\1", text[1:-1]).strip())
        parts = [part.strip("'\"") for part in parts if part]
        return parts if all(number_of(part) is not None for part in parts) else text
    if len(text) <= MOST:
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(text)
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
            return value if isinstance(value, dict) else text
    return text
