"""Where things lie in a CUB-200-2011 folder, and its files of `id text` lines.

What the image list and the trait labels share. Each of them has a module of its
own, so that a fix in the labels leaves the image list, and all that was made from
it, as it is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

FOLDER = "CUB_200_2011"


@dataclass(frozen=True)
class Cub200Layout:
    """Where do the text files and the images of one CUB-200-2011 folder lie?"""

    metadata: Path
    """The folder of `images.txt`, `train_test_split.txt` and `attributes/`."""
    images: dict[str, Path]
    """For each split, the folder that the paths in `images.txt` start from."""


class NumberedText(NamedTuple):
    """What stands beside an id, and on which line of the file."""

    line: int
    text: str


def find_layout(root: Path) -> Cub200Layout:
    """Is this the official layout or the image-folder layout, and where is it?

    Official: `images.txt` and `images/`. Image folders: `metadata/images.txt`,
    `train/` and `test/`. Either lies in `root` or in `root/CUB_200_2011`.

    Raises:
        ValueError: neither is there; the message lists the files looked for.
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
        ValueError: it is in none of the places; the message lists them.
    """
    # The official archive has it beside CUB_200_2011. The nearest one counts:
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
    """Which text stands beside each id, in a file of `id text` lines?

    Blank lines and Windows line ends are accepted, and so are blanks in the text.

    Returns:
        By id, in the order of the file.

    Raises:
        ValueError: naming file, line and value, where an id is no whole number or
            stands there twice, or where no text follows it; or the file is
            missing, is empty or is not text.
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
    """Is it up to nine digits and nothing else?

    Nine fit into 32 bits. Python's `int` also takes `1_0` and `+1`.
    """
    return text.isascii() and text.isdigit() and len(text) <= 9


def first_few(values: list[str]) -> str:
    """How does an error message list many values? The first five of them."""
    return ", ".join(values[:5]) + (", …" if len(values) > 5 else "")
