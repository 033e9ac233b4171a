"""The folder of a data set, as the config names it."""

from pathlib import Path


def check_root(root: Path, name: str) -> None:
    """Is the data set there at all?

    Args:
        root: where the config says that it lies.
        name: what the config calls it.

    Raises:
        ValueError: `root` is no folder; the message says which key to set.
    """
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise ValueError(
            f"{root.absolute()} {problem}: set `datasets: {name}: root` in the config "
            f"to the folder of {name}"
        )
