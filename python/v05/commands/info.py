"""`v05 info`: what is installed, for people and for bug reports."""

import sys
from importlib.metadata import PackageNotFoundError, version

import v05

from .doctor.command import report_on
from .doctor.trainers import TRAINERS

DEPENDENCIES = (
    "numpy",
    "scikit-learn",
    "torch",
    "transformers",
    "tabpfn",
    "trl",
    "verl",
    "rich",
    "matplotlib",
    "pyarrow",
)


def add_command(commands):
    """Adds `v05 info`."""
    info = commands.add_parser("info", help="print versions, the library's path and build mode, dependencies found")
    info.add_argument("--trainer", metavar="NAME", help="besides what `v05 doctor NAME` says")
    info.add_argument("--verl", action="store_const", const="verl", dest="trainer", help="the same as --trainer verl")
    info.set_defaults(run=run_info)


def run_info(options):
    """`v05 info`: one line for each thing."""
    rows = {
        "v05": v05.__version__,
        "library": v05.library_path(),
        "ABI": v05.abi_version(),
        "build mode": v05.build_mode(),
        "python": sys.version.split()[0],
    }
    rows |= {name: _version(name) + _tested(name) for name in DEPENDENCIES}
    for name, value in rows.items():
        print(f"{name:<12} {value}")
    if options.trainer:
        report_on([options.trainer])


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "not found"


def _tested(name):
    """Of a trainer, the versions that its adapter was tested with."""
    return f" (tested with {TRAINERS[name].tested})" if name in TRAINERS else ""
