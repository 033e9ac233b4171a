"""What a job keeps while it runs, so that the next one goes on if it is killed."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vitproto.core.files import is_being_written


class Unfinished:
    """Files of an unfinished job, in a folder beside its output.

    Their names end with a key of all that decides what they hold. So what was kept with
    other code, settings or data is not used, and two jobs that write the same file at
    once write the same contents.

    Attributes:
        folder: beside the output; it exists while there is something in it.
    """

    def __init__(self, output: Path, made_from: Mapping[str, Any]):
        """`made_from` is all that decides what the files hold, as any JSON."""
        self.folder = output.with_name(f"{output.name}.unfinished")
        text = json.dumps(made_from, sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()[:32]

    def path(self, name: str, suffix: str) -> Path:
        """The place of a file, which may not exist."""
        return self.folder / f"{name}-{self._key}{suffix}"

    def forget(self) -> None:
        """Delete all kept files, including those of other code, settings or data.

        Another job that makes the same output may be writing here. What it has not
        finished stays, and so does the folder, until that job forgets it, too.
        """
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if not is_being_written(path):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()
