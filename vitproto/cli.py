"""How every stage in `scripts/` becomes a command line."""

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import tyro

PROJECT = Path(__file__).resolve().parent.parent


def run(stage: Callable[..., None]) -> None:
    """Run a stage with the arguments of the command line.

    The stage's signature becomes its flags, its docstring the `--help`. A
    `ValueError` that our own code raises is a user's mistake: one line and exit
    status 1. Anything else is our bug and keeps its traceback.
    """
    _check_library(stage.__name__)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        tyro.cli(stage, config=(tyro.conf.OmitArgPrefixes,), use_underscores=True)
    except ValueError as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not _is_ours(raised_in):
            raise
        sys.exit(f"{stage.__name__}: {error}")


def _check_library(name: str) -> None:
    """Refuse to run a stage of one checkout with the library of another."""
    script = Path(sys.argv[0])
    checkout = script.resolve().parent.parent
    if (checkout / "vitproto").is_dir() and checkout != PROJECT:
        sys.exit(
            f"{name}: {script} would run the library in {PROJECT}, which Python finds "
            f"first: set PYTHONPATH={checkout}"
        )


def _is_ours(file: Path) -> bool:
    folders = (PROJECT / "vitproto", PROJECT / "scripts")
    return any(file.resolve().is_relative_to(folder) for folder in folders)
