"""Print in UTF-8, whatever the locale."""

import sys


def print_utf8() -> None:
    """Let logs be UTF-8, and let a terminal of another encoding show `?` at worst.

    In a Latin-1 locale, as on some clusters, Python would refuse to print a minus sign.
    """
    for stream in (sys.stdout, sys.stderr):
        if not hasattr(stream, "reconfigure"):
            continue  # replaced, for instance by a test
        if stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
