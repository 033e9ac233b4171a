"""Compiled code that is kept on disk, and is to be used only for today's sources.

Python takes bytecode for fresh if size and date of the source file are the same. What
numba keeps is another matter: `kernel_cache.py`.
"""

import importlib.util
import py_compile
from contextlib import suppress
from pathlib import Path

KERNEL_LOCATORS = ",".join(
    f"vitproto.freshness.code.kernel_cache.{name}"
    for name in ("BesideSources", "OfUser")
)
"""What NUMBA_CACHE_LOCATOR_CLASSES must say. Numba itself takes a second to load."""

_BY_HASH = 0b1
_FLAGS = slice(4, 8)


def check_by_content(project: Path) -> None:
    """Let Python look into our source files before it uses the bytecode that it kept.

    Args:
        project: the folder that holds `scripts/` and the package.
    """
    for source in _sources(project):
        kept = Path(importlib.util.cache_from_source(str(source)))
        try:
            with kept.open("rb") as file:
                flags = file.read(8)[_FLAGS]
            if int.from_bytes(flags, "little") & _BY_HASH:
                continue
            py_compile.compile(
                str(source),
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
            )
        except FileNotFoundError:
            continue
        except (OSError, py_compile.PyCompileError):
            # Importing a broken source must fail, not fall back on old bytecode. On a
            # disk that is only readable the bytecode stays.
            with suppress(OSError):
                kept.unlink()


def _sources(project: Path) -> list[Path]:
    folders = ("vitproto", "scripts")
    return sorted(file for name in folders for file in (project / name).rglob("*.py"))
