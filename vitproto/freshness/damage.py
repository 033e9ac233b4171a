"""Find inputs of a job that are no longer what their job wrote.

Snakemake and `staleness` read a file again only if its dates changed. A disk that loses
bits changes none.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from vitproto.freshness.digests import Digests
from vitproto.freshness.origins import Note
from vitproto.freshness.staleness import content_of

_CHECKED_BY_STAGES = (".h5", ".safetensors")
"""Files with checksums of their own, which each stage compares as it reads them."""


def find_damage(inputs: Mapping[Path, Note | None]) -> Iterator[str]:
    """Read tables, lists and pages again, and compare them with their notes.

    Args:
        inputs: the origin note of each input; None where it has none.

    Yields:
        A sentence for each input that is not what was written.
    """
    nothing_known = Digests(Path(os.devnull))
    for file, note in inputs.items():
        if note is None or file.suffix in _CHECKED_BY_STAGES:
            continue
        if content_of(file, nothing_known) != note.content:
            yield (
                f"{file} is not what {note.origin.rule} wrote: its content changed, "
                "even if its dates did not. Delete it and run the same command again"
            )
