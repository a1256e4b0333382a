"""Simulates one training step at fixed policy: every rule and allocator, with priors from perfect to adversarial.

    python Tests/Benchmarks/simulator.py [--log LOG] [--out PICTURE] [--steps N] [--seed S] [--json] [--priors NAME ...]

The step. The prompts are those of a log that `v05 replay` can read (default: the one that the package ships), with
their success rates, smoothed over nine visits, at a visit drawn at random after the fifth
(simulation/population.py). They stay as they are; --steps times, all of them are dealt at random into batches of
about 256 prompts, and fresh rollouts are drawn. Rewards are -1 and 1, so all squares are in units of h^2, h being
half the length of the reward range.

Priors, made once from the true values mu in [-1, 1] and cut to that interval:
    history       what v05.History knows after 4 simulated rollouts at each earlier visit of the log, the policy of then
    perfect       mu
    noise .2, .4  mu plus normal noise with this standard deviation
    biased        mu + 0.3
    hallucinated  for a fifth of the prompts, drawn at random, the far end of the interval; mu for the others
    constant      the mean of all mu
    adversarial   -mu

Contestants (simulation/contestants.py). "n each": every rule with groups of n. "osla": the paper's allocator with
its three look-aheads, 4 to 16 rollouts. "neyman threshold": v05.Allocator's rule "neyman" with OSLA's cost. The
rest get as many rollouts as "osla same_bias" took on average: "equal", groups of equal size; "neyman from 4, 2",
rule "neyman" with that total as its budget and 4 or 2 rollouts to begin with; "ahead ...", v05.allocate before any
rollout, 2 to 16 a prompt. The calibrated baseline of groups decided on ahead is fitted on its own batch; sequential
allocators use the calibration or mixture of earlier batches. "discounted_beta" takes the strength of the history, or 8
rewards for the other priors.

Columns, each with its standard error over the repeats (jackknife; the prompts and their priors do not vary):
    rollouts    of a prompt, on average
    error       mean over rollouts of (baseline - mu)^2, in h^2
    bias        mean over prompts of E[m] - mu, where m is the mean of the prompt's rewards: optional stopping alone
                makes it other than 0
    bias rms    root mean square over prompts of the same
    noise       variance of the gradient times rollouts, relative to leave-one-out with 16 rollouts each
    scale       factor by which the baseline, and stopping, scale the mean gradient; 1 is unbiased
    distortion  of the mean gradient's direction: spread of that factor over the prompts
    no signal   share of the groups in which all advantages are 0

The gradient. A prompt with k rollouts contributes g = (1/k) sum_j A_j s_j, and the step's gradient is the mean over
prompts. The score s of a rollout (the gradient of its log-probability) has mean 0, so for a two-valued reward r it
is (r - mu) c + e with a direction c of the prompt, orthogonal to those of other prompts and of one length for all,
and e with E[e | r] = 0. Nearly all of the score is e: it has thousands of tokens' worth of directions, taken as |e|
= 1 and independent between rollouts. Therefore

    E[g] = f var(r) c   with   f = E[(1/k) sum_j A_j (r_j - mu)] / var(r),    variance of g = E[(1/k^2) sum_j A_j^2].

The scale is the projection of the mean gradient on the true one, F = sum f var(r)^2 / sum var(r)^2; the distortion
is the length of what stands across it, relative to it: sqrt(sum (f - F)^2 var(r)^2 / sum var(r)^2) / F. The noise
is divided by F^2, as a learning rate can undo a scale. For leave-one-out with k each, F = 1 and the variance is
var(r) / (k - 1); the column's unit is 16 / 15 of the mean of var(r). So a perfect baseline has the noise 15/16 for
any k, which is 1 - 1/k of leave-one-out's, and the group mean, which scales by 1 - 1/k, has exactly that of leave-
one-out.
"""

import argparse
import json
import sys

import v05
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from simulation.picture import draw_trial
from simulation.population import PRIORS
from simulation.tables import print_trial
from simulation.trial import hold_trial
from v05.commands.pictures import check_picture
from v05.commands.replay import shipped_log


def main(arguments=None):
    options = _parser().parse_args(arguments)
    try:
        if options.out:
            check_picture(options.out)
        with ProgressBar() as progress:
            trial = hold_trial(options.log, options.steps, options.seed, options.priors, progress)
    except v05.Error as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(trial.as_dict(), indent=1, allow_nan=False))
    else:
        print_trial(trial)
    if options.out:
        draw_trial(trial, options.out)
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        description="Every baseline and allocator in one simulated training step, with priors of chosen quality."
    )
    add = parser.add_argument
    add("--log", default=shipped_log(), help="log with the success rates (default: the one that v05 ships)")
    add("--out", metavar="PICTURE", help="draw gradient noise against rollouts into this .png, .pdf or .svg")
    add("--steps", type=_repeats, default=300, metavar="N", help="repeats of the step, at least 3 (default: 300)")
    add("--seed", type=int, default=0, metavar="S", help="default: 0")
    add("--json", action="store_true", help="print JSON in place of tables")
    add(
        "--priors",
        nargs="+",
        choices=PRIORS,
        default=PRIORS,
        metavar="NAME",
        help=f"only some of {', '.join(map(repr, PRIORS))}",
    )
    return parser


def _repeats(text):
    if int(text) < 3:
        raise argparse.ArgumentTypeError("at least 3 repeats are needed for standard errors")
    return int(text)


class ProgressBar(Progress):
    """On a terminal's standard error; entered, a callable (done, total, name)."""

    def __init__(self):
        console = Console(stderr=True)
        columns = BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
        super().__init__(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.add_task("")

    def __enter__(self):
        super().__enter__()
        return lambda done, total, name: self.update(self.task, completed=done, total=total, description=name)


if __name__ == "__main__":
    sys.exit(main())
