"""`v05 doctor` on the command line."""

from ...errors import Error
from ..printable import printable
from .check import examine
from .trainers import TRAINERS
from .verl_report import print_verl_report


def add_command(commands):
    """Adds `v05 doctor`."""
    doctor = commands.add_parser(
        "doctor",
        help="which trainers are installed, whether v05 fits them, and what to write to turn it on",
        description="Imports each trainer that is installed in a process of its own and looks for what the adapter of "
        "v05 takes "
        "hold of. With a name it says more, and ends with status 2 where v05 does not fit.",
    )
    doctor.add_argument("trainer", nargs="*", metavar="TRAINER", help=f"of {', '.join(TRAINERS)} (default: all)")
    doctor.set_defaults(run=run_doctor)


def run_doctor(options):
    """`v05 doctor`: a line for each trainer, or all about those that are named."""
    if options.trainer:
        report_on(options.trainer)
        return
    for name, trainer in TRAINERS.items():
        found = examine(trainer)
        if found.version is None:
            print(f"{name:<15} not installed")
        else:
            print(f"{name:<15} {found.version}: " + ("; ".join(map(printable, found.problems)) or "v05 fits"))
    print("v05 doctor TRAINER says what to write to turn it on")


def report_on(names):
    """Prints all about the trainers that are named; raises v05.Error where v05 does not fit one."""
    names = [name.lower().replace("-", "_") for name in names]
    unknown = [name for name in names if name not in TRAINERS]
    if unknown:
        raise Error(
            f"no adapter for {', '.join(unknown)}; there is one for {', '.join(TRAINERS)}. Your own loop: "
            "docs/others.md in the source of v05"
        )
    problems = []
    for name in names:
        trainer, found = TRAINERS[name], examine(TRAINERS[name])
        rows = {
            "trainer": name,
            "installed": found.version or "no: " + " and ".join(trainer.packages) + " not found",
            "tested with": trainer.tested,
            "v05 fits": "unknown" if found.version is None else "no" if found.problems else "yes",
            **{f"problem {number}": printable(problem) for number, problem in enumerate(found.problems, start=1)},
            **{f"write {number}": line for number, line in enumerate(trainer.turn_on, start=1)},
            "page": f"docs/{trainer.page} in the source of v05",
        }
        for label, value in rows.items():
            print(f"{label:<11} {value}")
        if found.version is None:
            problems.append(f"{name} is not installed in this environment")
        elif found.problems:
            problems.append(f"v05 does not fit {name} {found.version}: {found.problems[0]}")
        elif name == "verl":
            print_verl_report()
    if problems:
        raise Error("; ".join(problems))
