"""Run the stages in `scripts/` as command lines."""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import tyro

from vitproto.core.project import PROJECT
from vitproto.core.reader import reader_may_leave
from vitproto.core.text_streams import print_utf8
from vitproto.core.unreadable import describe_file_system_error

EXPECTED_CODE = "VITPROTO_CODE_OF_"
"""Prefix of the environment variable, completed by a stage's name, that holds the
fingerprint of the code the stage must run."""


def run(stage: Callable[..., None]) -> None:
    """Run a stage with the arguments of the command line.

    The stage's signature becomes its flags, its docstring the `--help`. A `ValueError`
    raised by our own code is a user's mistake and ends in one line with exit status 1,
    as do an error of the file system and a lack of memory. Anything else is our bug and
    keeps its traceback.
    """
    print_utf8()
    _check_library(stage.__name__)
    _check_code(stage.__name__)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        with reader_may_leave():
            tyro.cli(stage, config=(tyro.conf.OmitArgPrefixes,), use_underscores=True)
    except ValueError as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not _is_ours(raised_in):
            raise
        sys.exit(f"{stage.__name__}: {error}")
    except OSError as error:
        problem = describe_file_system_error(error)
        if problem is None:
            raise
        sys.exit(f"{stage.__name__}: {problem}")
    except MemoryError as error:
        sys.exit(
            f"{stage.__name__}: there is not enough memory"
            f"{f' ({error})' if str(error) else ''}: give the job more, or end other "
            "programs"
        )


def _check_library(name: str) -> None:
    """Refuse to run a stage of one checkout with the library of another."""
    script = Path(sys.argv[0])
    checkout = script.resolve().parent.parent
    if (checkout / "vitproto/__init__.py").is_file() and checkout != PROJECT:
        sys.exit(
            f"{name}: {script} would use the library in {PROJECT}, which Python finds "
            f"first: set PYTHONPATH={checkout}"
        )


def _check_code(name: str) -> None:
    """Refuse to run code that changed after Snakemake started the job.

    The origin notes of its results would name other code.
    """
    expected = os.environ.get(EXPECTED_CODE + name)
    if not expected:
        return
    # Imported here, so that it is not part of the code of every stage.
    from vitproto.freshness.code.fingerprint import fingerprint

    if fingerprint(name) != expected:
        sys.exit(f"{name}: its code changed as it started: run the command again")


def _is_ours(file: Path) -> bool:
    folders = (PROJECT / "vitproto", PROJECT / "scripts")
    return any(file.resolve().is_relative_to(folder) for folder in folders)
