"""What the pictures of all commands have in common; needs matplotlib."""

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from .._core.files import local_path
from ..errors import Error, InvalidArgument, MissingExtra
from .outputs import check_output, write_output

SUFFIXES = (".png", ".pdf", ".svg")
INK = "#22303c"
FAINT = "#c9d1d8"
COLOURS = {
    "grpo": "#8a97a3",
    "james_stein": "#c08a3e",
    "prior": "#6aa67c",
    "v05": "#2f6fb5",
    "calibrated": "#b5344a",
    "mixture": "#7d55a8",
}
MARKERS = {"grpo": "o", "james_stein": "v", "prior": "s", "v05": "D", "calibrated": "o", "mixture": "^"}


def check_picture(path, inputs=()):
    """The path, with ~ resolved. Raises where no picture can be drawn to it; `inputs` are paths that it must not
    replace."""
    path = Path(local_path(path, "out"))
    if find_spec("matplotlib") is None:
        raise MissingExtra("drawing the picture", "replay")
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(f"a picture ends in {', '.join(SUFFIXES)}, got {path}")
    check_output(path, inputs)
    try:
        import matplotlib  # noqa: F401
    except ValueError as error:  # an unknown back end in MPLBACKEND or a matplotlibrc
        raise Error(
            f"matplotlib cannot be loaded: {error}; unset MPLBACKEND or give it a back end that exists"
        ) from error
    return path


def new_figure(width, height, rows, columns):
    """(figure, its axes as a 2-D array), drawn without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def save_figure(figure, path):
    """Writes the figure; the ending of the path decides the format."""
    data = BytesIO()
    figure.savefig(data, dpi=150, format=Path(path).suffix[1:].lower())
    write_output(path, data.getvalue())
