"""Find the files of CUB-200-2011, and read its files of `id text` lines.

The image list and the trait labels share this. Each of them has a module of its own, so
that a fix in the labels does not make the image list stale.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

FOLDER = "CUB_200_2011"


@dataclass(frozen=True)
class Cub200Layout:
    """The folders of the text files and the images of CUB-200-2011."""

    metadata: Path
    """The folder of `images.txt`, `train_test_split.txt` and `attributes/`."""
    images: dict[str, Path]
    """For each split, the folder to which the paths in `images.txt` are relative."""


class NumberedText(NamedTuple):
    """The text after an id, and its line in the file."""

    line: int
    text: str


def find_layout(root: Path) -> Cub200Layout:
    """Find the official layout or the image-folder layout.

    The official layout has `images.txt` and `images/`; image folders have
    `metadata/images.txt`, `train/` and `test/`. Either is in `root` or in
    `root/CUB_200_2011`.

    Raises:
        ValueError: neither is found; the message lists the files looked for.
    """
    looked_for = []
    for folder in (root, root / FOLDER):
        official = folder / "images.txt"
        if official.is_file():
            images = folder / "images"
            return Cub200Layout(folder, {"train": images, "test": images})
        moved = folder / "metadata" / "images.txt"
        if moved.is_file():
            images_of = {"train": folder / "train", "test": folder / "test"}
            return Cub200Layout(moved.parent, images_of)
        looked_for += [str(official), str(moved)]
    raise ValueError(
        f"{root} holds no CUB-200-2011, looked for: {', '.join(looked_for)}"
    )


def find_attributes(metadata: Path) -> Path:
    """The file with the names of the attributes.

    Raises:
        ValueError: it is in none of the usual places; the message lists them.
    """
    # The official archive has it beside CUB_200_2011. The nearest file counts:
    # farther out it may belong to another data set.
    candidates = [
        metadata / "attributes" / "attributes.txt",
        metadata / "attributes.txt",
        metadata.parent / "attributes.txt",
    ]
    for path in candidates:
        if path.is_file():
            return path
    listed = ", ".join(str(path) for path in candidates)
    raise ValueError(f"the names of the attributes are missing, looked for: {listed}")


def read_numbered(path: Path) -> dict[int, NumberedText]:
    """Read a file of `id text` lines.

    Blank lines, Windows line ends and blanks in the text are accepted.

    Returns:
        The texts by id, in the order of the file.

    Raises:
        ValueError: an id is not a whole number, appears twice or has no text, with
            file, line and value; or the file is missing, is empty or is not text.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error})") from None
    entries: dict[int, NumberedText] = {}
    for line, content in enumerate(lines, start=1):
        fields = content.split(maxsplit=1)
        if not fields:
            continue
        where = f"{path}, line {line}"
        if not is_whole_number(fields[0]):
            raise ValueError(f"{where}: expected a number first, got {fields[0]!r}")
        number = int(fields[0])
        if len(fields) == 1:
            raise ValueError(f"{where}: nothing follows the id {number}")
        if number in entries:
            earlier = entries[number].line
            raise ValueError(f"{where}: the id {number} is already on line {earlier}")
        entries[number] = NumberedText(line, fields[1].rstrip())
    if not entries:
        raise ValueError(f"{path} is empty")
    return entries


def is_whole_number(text: str) -> bool:
    """Whether a text is one to nine digits.

    Nine digits fit into 32 bits. Python's `int` also accepts `1_0` and `+1`.
    """
    return text.isascii() and text.isdigit() and len(text) <= 9


def first_few(values: list[str]) -> str:
    """The first five values, for an error message."""
    return ", ".join(values[:5]) + (", …" if len(values) > 5 else "")
