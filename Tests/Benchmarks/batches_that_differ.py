"""Whether learnt rules are ever worse than the group mean: qualities of priors, sizes and orders of batches, on real
pass rates.

    python Tests/Benchmarks/batches_that_differ.py pass_rates.jsonl               # the worst cells of every setting
    python Tests/Benchmarks/batches_that_differ.py pass_rates.jsonl --all         # every cell
    python Tests/Benchmarks/batches_that_differ.py pass_rates.jsonl --unchecked   # what was learnt, applied as it is

The log has lines {"prompt": .., "rollouts": 8, "successes": [per visit]}. Of the 8 rollouts of a visit k are seen, the
others tell the error. A visit of all prompts is cut into batches, at random or sorted by difficulty as in a curriculum;
what a rule learns runs from batch to batch and starts anew at each visit. The figure of a cell is the squared error of
the rule's baseline divided by that of the group mean (leave-one-out: by that of the mean of the others), with a 95 %
interval by bootstrap over prompts.
"""

import argparse
import json

import numpy as np
import v05

RULES = {"calibrated": v05.RunningCalibration, "mixture": v05.RunningMixture}
VISITS = range(8, 43, 4)
DRAWS = 400


def load(path):
    """(prompts, visits) successes out of 8, as many visits as all prompts have."""
    with open(path) as lines:
        rows = [json.loads(line)["successes"] for line in lines]
    return np.array([row[: min(map(len, rows))] for row in rows])


def truth_without(successes, visit):
    """Pass rate around a visit, from the two visits before and after it."""
    around = [visit - 2, visit - 1, visit + 1, visit + 2]
    return successes[:, around].mean(axis=1) / 8


def priors(successes, visit, random):
    """{quality: (prompts,) priors at a visit}"""
    rate = truth_without(successes, visit)
    count = len(rate)
    weights = 0.8 ** np.arange(visit)[::-1]

    def flipped(share):
        return np.where(random.random(count) < share, 1 - rate, rate)

    found = {
        "rate": rate,
        "history": successes[:, :visit] @ weights / weights.sum() / 8,
        "last visit": successes[:, visit - 1] / 8,
        "frozen": successes[:, :5].mean(axis=1) / 8,
        "noise .1": rate + random.normal(0, 0.1, count),
        "noise .2": rate + random.normal(0, 0.2, count),
        "noise .4": rate + random.normal(0, 0.4, count),
        "higher by .15": rate + 0.15,
        "higher by .3": rate + 0.3,
        "lower by .3": rate - 0.3,
        "a tenth flipped": flipped(0.1),
        "a fifth flipped": flipped(0.2),
        "half flipped": flipped(0.5),
        "all flipped": 1 - rate,
        "constant .5": np.full(count, 0.5),
        "constant .9": np.full(count, 0.9),
        "random": random.random(count),
    }
    return {name: np.clip(value, 0, 1) for name, value in found.items()}


def errors(rule, rewards, held_out, prior, batches, check_fit):
    """Squared errors by prompt, own-reward and leave-one-out, of the rule and of the group mean: (2, 2, prompts)."""
    count, k = rewards.shape
    found = np.empty((2, 2, count))
    others = (rewards.sum(axis=1, keepdims=True) - rewards) / (k - 1)
    truth = held_out.mean(axis=1)
    noise = held_out.var(axis=1, ddof=1) / held_out.shape[1]
    found[0, 1] = (rewards.mean(axis=1) - truth) ** 2 - noise
    found[1, 1] = ((others - truth[:, None]) ** 2).mean(axis=1) - noise
    running = RULES[rule]()
    learns = "mixture" if rule == "mixture" else "calibration"
    for batch in batches:
        groups = np.repeat(np.arange(len(batch)), k)
        rows, known = rewards[batch].ravel(), np.repeat(prior[batch], k)
        learnt = {"check_fit": check_fit} | ({learns: running} if running.updates else {})
        own = v05.estimate(rows, groups, known, rule=rule, **learnt)
        out = v05.advantages(rows, groups, known, rule=rule, leave_one_out=True, **learnt)
        found[0, 0, batch] = (own.baseline - truth[batch]) ** 2 - noise[batch]
        found[1, 0, batch] = (((rows - out).reshape(-1, k) - truth[batch][:, None]) ** 2).mean(axis=1) - noise[batch]
        running.update(rows, groups, known)
    return found


def ratios(sums, random):
    """Point and 95 % interval of the error's ratio, bootstrapped over prompts. sums: (2, prompts)."""
    draws = random.multinomial(len(sums[0]), np.full(len(sums[0]), 1 / len(sums[0])), DRAWS) @ sums.T
    low, high = np.quantile(draws[:, 0] / draws[:, 1], [0.025, 0.975])
    return sums[0].sum() / sums[1].sum(), low, high


def cells(successes, rules, ks, sizes, orders, check_fit=True, seed=0):
    """Yields (rule, k, order, size, quality, form, ratio, low, high)."""
    count = len(successes)
    for k in ks:
        for order in orders:
            for size in sizes:
                sums = {}
                for visit in VISITS:
                    random = np.random.default_rng([seed, visit, k])
                    outcomes = random.permuted(np.arange(8) < successes[:, visit, None], axis=1).astype(float)
                    if order == "sorted":
                        rows = np.argsort(-truth_without(successes, visit), kind="stable")
                    else:
                        rows = random.permutation(count)
                    batches = np.split(rows, range(size, count, size))
                    for quality, prior in priors(successes, visit, random).items():
                        for rule in rules:
                            found = errors(rule, outcomes[:, :k], outcomes[:, k:], prior, batches, check_fit)
                            sums[rule, quality] = sums.get((rule, quality), 0) + found
                random = np.random.default_rng(seed)
                for (rule, quality), found in sums.items():
                    for form, name in enumerate(("own", "leave-one-out")):
                        yield rule, k, order, size, quality, name, *ratios(found[form], random)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("--all", action="store_true", help="every cell, not the worst of its setting")
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES)
    parser.add_argument("--k", nargs="+", type=int, default=[2, 4, 6])
    parser.add_argument("--sizes", nargs="+", type=int, default=[16, 64, 604])
    parser.add_argument("--orders", nargs="+", default=["random", "sorted"], choices=["random", "sorted"])
    parser.add_argument("--unchecked", action="store_true", help="apply what was learnt without the check of the fit")
    arguments = parser.parse_args()
    settings, count, above = {}, 0, 0
    for *setting, quality, form, ratio, low, high in cells(
        load(arguments.log), arguments.rules, arguments.k, arguments.sizes, arguments.orders, not arguments.unchecked
    ):
        count += 1
        above += low > 1
        settings.setdefault((*setting, form), []).append((ratio, low, high, quality))
        if arguments.all:
            print(*setting, quality, form, f"{ratio:.3f} ({low:.3f} to {high:.3f})", sep="\t", flush=True)
    print(f"{'rule':12}{'k':>3} {'order':8}{'size':>5}  {'form':14} error of the worst quality, group mean = 1")
    for (rule, k, order, size, form), found in settings.items():
        ratio, low, high, quality = max(found)
        print(f"{rule:12}{k:3} {order:8}{size:5}  {form:14} {ratio:.3f} ({low:.3f} to {high:.3f})  {quality}")
    print(f"{count} cells, {above} with the whole interval above 1")


if __name__ == "__main__":
    main()
