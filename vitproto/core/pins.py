"""Compare the installed packages with the versions that pyproject.toml pins.

`make` runs this with the Python of an active environment, which may lack all packages,
so it imports only the standard library.
"""

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

from vitproto.core.project import PROJECT

_OTHER_NAMES = {"faiss-cpu": "faiss"}
"""Names under which conda-forge's packages are installed, where they differ."""


def missing_pins(pyproject: Path) -> list[str]:
    """One phrase for each pinned package that is missing or of another version.

    Args:
        pyproject: the file with the pins, those of `dev` included.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    pins = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    missing = []
    for pin in pins:
        name, version = pin.split("==")
        installed = _installed(name) or _installed(_OTHER_NAMES.get(name, name))
        # Builds may add to a version: `+cpu` on the package index, `.post1` on conda.
        if installed is None:
            missing.append(f"it has no {name}")
        elif re.split(r"\+|\.post", installed)[0] != version:
            missing.append(f"its {name} is {installed}, not {version}")
    return missing


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Print `ok`, or the first difference and how many there are."""
    missing = missing_pins(PROJECT / "pyproject.toml")
    more = f", and {len(missing) - 1} more differences" if len(missing) > 1 else ""
    sys.stdout.write(f"{missing[0]}{more}\n" if missing else "ok\n")


if __name__ == "__main__":
    main()
