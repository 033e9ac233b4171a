"""Make Python check cached bytecode against the content of sources.

By default Python trusts bytecode if size and date of the source file are the same.
`kernel_cache.py` does the same for numba's kernels.
"""

import importlib.util
import py_compile
from contextlib import suppress
from pathlib import Path

_BY_HASH = 0b1
_FLAGS = slice(4, 8)


def check_by_content(project: Path) -> None:
    """Make Python compare our sources by content before it uses cached bytecode.

    Args:
        project: the folder that holds `scripts/` and the package.
    """
    for source in _sources(project):
        cached = Path(importlib.util.cache_from_source(str(source)))
        try:
            with cached.open("rb") as file:
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
            # read-only disk the bytecode stays.
            with suppress(OSError):
                cached.unlink()


def _sources(project: Path) -> list[Path]:
    folders = ("vitproto", "scripts")
    return sorted(file for name in folders for file in (project / name).rglob("*.py"))
