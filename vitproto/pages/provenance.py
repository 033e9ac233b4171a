"""What a page says about where it comes from: version, commit, files and citation."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from vitproto.core.files import sha256_of
from vitproto.core.project import PROJECT

CITATION = "CITATION.cff"


class Provenance(NamedTuple):
    """Where a page comes from."""

    version: str
    """Empty where the project comes without its `CITATION.cff`."""
    commit: str
    """The commit of the project, and whether its files differ; empty outside git."""
    citation: str
    """How to cite the project; empty as `version`."""
    digests: dict[str, str]
    """The SHA-256 of each file."""


def read_provenance(files: Mapping[str, Path], project: Path = PROJECT) -> Provenance:
    """Read where a page comes from.

    Args:
        files: the files to name with their SHA-256, by what they are.
        project: the folder of the project.
    """
    version = citation = ""
    if (project / CITATION).is_file():
        cited = yaml.safe_load((project / CITATION).read_text(encoding="utf-8"))
        version, year = cited["version"], cited["date-released"].year
        names = ", ".join(author["name"] for author in cited["authors"])
        end = "" if cited["title"].endswith("?") else "."
        citation = f"{names} ({year}). {cited['title']}{end} Version {version}."
    digests = {what: sha256_of(path).hex() for what, path in files.items()}
    return Provenance(version, _describe_commit(project), citation, digests)


def _describe_commit(project: Path) -> str:
    top = _git(project, "rev-parse", "--show-toplevel")
    commit = _git(project, "rev-parse", "--short=12", "HEAD")
    if not top or not commit or Path(top).resolve() != project.resolve():
        return ""
    changed = _git(project, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}, with changes that are not committed" if changed else commit


def _git(project: Path, *arguments: str) -> str:
    """What git answers; nothing where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
