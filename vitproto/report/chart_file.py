"""Charts on disk: the same figure gives the same bytes."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from vitproto.files import whole_file

_METADATA = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the suffix."""
    # Left alone, the ids in an SVG are random, and both formats carry the date or
    # the version of matplotlib.
    with (
        matplotlib.rc_context({"svg.hashsalt": "vitproto", "svg.fonttype": "path"}),
        whole_file(path) as partial,
    ):
        figure.savefig(partial, dpi=200, metadata=_METADATA[path.suffix])
