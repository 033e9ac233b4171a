"""How long jobs show that they move."""

import sys

from tqdm import tqdm


class _Lines:
    """Standard error, for a bar that is redrawn: each time a line of its own."""

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress_bar(n: int, unit: str) -> tqdm:
    """Progress and throughput, in units, on standard error.

    A bar in a terminal; in a log, a line every ten seconds. What is added by
    `set_postfix` needs `refresh=False`, or it is shown at once.
    """
    settings = {"total": n, "unit": f" {unit}", "unit_scale": n > 1e6}
    if sys.stderr.isatty():
        return tqdm(**settings, mininterval=0.5)
    parts = "{percentage:3.0f} % of {total_fmt}{unit}", "{elapsed}, {remaining} to go"
    line = ", ".join((*parts, "{rate_fmt}{postfix}"))
    return tqdm(**settings, mininterval=10, file=_Lines(), bar_format=line)


class DownloadBar(tqdm):
    """The progress of a download, for a client that makes the bar itself."""

    def __init__(self, *args: object, **kwargs: object):
        """Take what the client asks for, but a log gets a line every ten seconds."""
        if not sys.stderr.isatty():
            line = "{desc}: {n_fmt} of {total_fmt}B, {elapsed}, {rate_fmt}"
            kwargs |= {"mininterval": 10, "file": _Lines(), "bar_format": line}
        super().__init__(*args, **kwargs)
