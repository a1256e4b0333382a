"""Text of a log, a path or a field name as a terminal may show it."""


def printable(text):
    """The text in one line: what is no visible character (control characters, escape sequences, marks that change the
    direction of writing, halves of a surrogate pair) is written as its escape, as in `repr`."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in str(text))
