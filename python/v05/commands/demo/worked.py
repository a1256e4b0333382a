"""Worked-out answers: the operations of an expression one after the other, each in one of several phrasings.

What is said varies freely and decides nothing; only the numbers do.
"""

import re

OPENINGS = (
    "let us see",
    "we go step by step",
    "here is how it goes",
    "okay , one thing at a time",
    "this can be done in order",
)
FIRST = ("first", "to begin with", "at the start", "initially")
NEXT = ("then", "after that", "next", "now")
OPERATIONS = {
    "+": ("we add {b} to {a}", "{a} plus {b}", "the sum of {a} and {b}", "we take {a} and put {b} on top"),
    "-": (
        "we subtract {b} from {a}",
        "{a} minus {b}",
        "the difference of {a} and {b}",
        "we take {a} and leave {b} out",
    ),
    "*": ("we multiply {b} by {a}", "{a} times {b}", "the product of {a} and {b}", "we take {a} as often as {b} says"),
}
RESULTS = ("which gives", "and this makes", "so we get", "that comes to")
PAUSES = (",", ";", ".")
REMARKS = ("as one can check", "fine so far", "no doubt about it", "easy enough , is it not", "good , and we go on")
ENDINGS = ("so the answer is", "hence the result must be", "therefore we have", "in the end it is", "all in all :")

_COMPUTE = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


def operations(expression):
    """[(left, operator, right, result)] of an expression like 3 - 5 * 2: products first, then from left to right."""
    parts = expression.split()
    numbers, operators = [int(number) for number in parts[::2]], parts[1::2]
    found = []
    while operators:
        place = operators.index("*") if "*" in operators else 0
        left, right = numbers[place : place + 2]
        operator = operators.pop(place)
        result = _COMPUTE[operator](left, right)
        found.append((left, operator, right, result))
        numbers[place : place + 2] = [result]
    return found


def work_out(expression, choose):
    """The answer in words, its last word the result. choose(phrasings) picks one of them."""
    steps = operations(expression)
    said = [choose(OPENINGS), ":"]
    for place, (left, operator, right, result) in enumerate(steps):
        said += [
            choose(NEXT if place else FIRST),
            choose(OPERATIONS[operator]).format(a=left, b=right),
            choose(RESULTS),
            str(result),
            choose(PAUSES),
            choose(REMARKS),
            ".",
        ]
    return " ".join([*said, choose(ENDINGS), str(steps[-1][-1])])


def final_number(text):
    """The number that an answer ends with, as text; empty where it ends with none."""
    found = re.search(r"-?\d+$", text)
    return found.group() if found else ""
