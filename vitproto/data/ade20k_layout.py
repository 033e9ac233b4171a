"""Find the parts of a data set in ADE20K's layout."""

from pathlib import Path

from vitproto.data.files_of import files_of

FOLDER = "ADEChallengeData2016"

SPLIT_OF = {"training": "train", "validation": "test"}
"""Our names of the splits, by ADE20K's names of folders."""


def find_root(root: Path) -> Path:
    """The folder with `images` and `annotations`: `root`, or one below.

    Raises:
        ValueError: neither `root` nor `root/ADEChallengeData2016` has them, or a split
            is missing; the message lists the folders looked for.
    """
    tops = (root, root / FOLDER)
    kinds = ("images", "annotations")
    for top in tops:
        if any((top / kind).is_dir() for kind in kinds):
            folders = [top / kind / split for kind in kinds for split in SPLIT_OF]
            missing = [str(folder) for folder in folders if not folder.is_dir()]
            if missing:
                raise ValueError(
                    f"{', '.join(missing)} missing: a data set in ADE20K's layout has "
                    "images and annotations, each with training and validation"
                )
            return top
    looked_for = ", ".join(str(top / kind) for top in tops for kind in kinds)
    raise ValueError(
        f"{root} holds no data set in ADE20K's layout, looked for: {looked_for}"
    )


def find_object_info(top: Path) -> Path:
    """The one file that lists the classes."""
    files = [
        top / name
        for name in names_in(top)
        if name.startswith("objectInfo") and name.endswith(".txt")
    ]
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise ValueError(
            f"{top} must hold exactly one objectInfo*.txt, the list of classes, found "
            f"{names}"
        )
    return files[0]


def names_in(folder: Path) -> list[str]:
    """The names of all files in a folder except hidden ones, sorted."""
    names = [name for name in files_of(folder) if not name.startswith(".")]
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{folder} holds {name!r}, a name that is not UTF-8: rename it"
            ) from None
    return names
