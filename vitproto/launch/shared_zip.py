"""Pack what a study shows into one file that can be sent: pages, charts, tables."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from vitproto.core.files import whole_file

SHOWN = {".html", ".md", ".csv", ".json", ".png", ".svg", ".jpg"}
"""Suffixes of what readers open; the others are scores, latents and labels."""

PAGES = ("features", "suppression")
"""The folders below a layer that hold pages and pictures."""

NOTES = ".origins"
"""The folders of notes that say what each result was made of."""

DATE = (1980, 1, 1, 0, 0, 0)
"""The date of all files in the archive: the same results give the same bytes."""


def write_zip(folder: Path, study: Mapping[str, Any], archive: Path) -> int:
    """Pack the pages, charts, tables and notes of a study, and its configuration.

    Tables of single families and layers stay out, as do scores and activations.

    Args:
        folder: the results of the study.
        study: its resolved configuration.
        archive: the ZIP file to write.

    Returns:
        The number of files.
    """
    files = sorted(_files_to_send(folder))
    with (
        whole_file(archive) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed,
    ):
        for file in files:
            name = f"{folder.name}/{file.relative_to(folder).as_posix()}"
            packed.writestr(_entry(name), file.read_bytes())
        text = yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True)
        packed.writestr(_entry(f"{folder.name}/study.yaml"), text.encode())
    return len(files) + 1


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _files_to_send(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        *parents, _ = file.relative_to(folder).parts
        hidden = [part for part in parents if part.startswith(".") and part != NOTES]
        is_of_layer = len(parents) >= 2 and parents[1].startswith("layer")
        is_kept = not is_of_layer or bool({*PAGES, NOTES} & set(parents))
        if file.is_file() and file.suffix in SHOWN and is_kept and not hidden:
            yield file
