"""Rollouts of an evaluation that stand in the tables of a training run."""

import numpy as np


def evaluation_rows(prompt, table):
    """(n,) whether a row is likely to be of an evaluation; table: which of a trainer's batches each row is of, -1 for
    none.

    TRL logs the completions of an evaluation into the table of the step, after those of the training. So the same
    prompts, two or more, stand together at the end of several tables, behind others, and nowhere else.
    """
    order, tables = {}, {}
    for row in np.flatnonzero(table >= 0):
        blocks = order.setdefault(int(table[row]), {})
        code = int(prompt[row])
        blocks[code] = blocks.pop(code, None)  # the order of last appearance
        tables.setdefault(code, {})[int(table[row])] = True
    sets = {}
    for code, places in tables.items():
        sets.setdefault(tuple(places), []).append(code)
    found = []
    for places, codes in sets.items():
        ends = {code: True for code in codes}
        if (
            2 <= len(places) < len(order)
            and len(codes) >= 2
            and all(
                len(order[place]) > len(codes) and all(code in ends for code in list(order[place])[-len(codes) :])
                for place in places
            )
        ):
            found += codes
    return (table >= 0) & np.isin(prompt, np.array(found, np.int64))
