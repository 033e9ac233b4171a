"""Progress bars for terminals and logs."""

import sys

from tqdm import tqdm


class _Lines:
    """Standard error, with a new line each time a bar is redrawn."""

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress_bar(n: int, unit: str) -> tqdm:
    """Show progress and throughput, in units, on standard error.

    In a terminal this is a bar, in a log a line every ten seconds. Call `set_postfix`
    with `refresh=False`, or it writes a line at once.
    """
    settings = {"total": n, "unit": f" {unit}", "unit_scale": n > 1e6}
    if sys.stderr.isatty():
        return tqdm(**settings, mininterval=0.5)
    parts = "{percentage:3.0f} % of {total_fmt}{unit}", "{elapsed}, {remaining} to go"
    line = ", ".join((*parts, "{rate_fmt}{postfix}"))
    return tqdm(**settings, mininterval=10, file=_Lines(), bar_format=line)


class DownloadBar(tqdm):
    """A progress bar for a download client that creates the bar itself."""

    def __init__(self, *args: object, **kwargs: object):
        """Accept the client's arguments, but write a line every ten seconds to logs."""
        if not sys.stderr.isatty():
            line = "{desc}: {n_fmt} of {total_fmt}B, {elapsed}, {rate_fmt}"
            kwargs |= {"mininterval": 10, "file": _Lines(), "bar_format": line}
        super().__init__(*args, **kwargs)
