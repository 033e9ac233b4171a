"""Check the folder of a data set that the configuration names."""

from pathlib import Path


def check_root(root: Path, name: str) -> None:
    """Check that the folder of a data set exists.

    Args:
        root: the folder in the configuration.
        name: the name of the data set in the configuration.

    Raises:
        ValueError: `root` is not a folder; the message names the key to set.
    """
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise ValueError(
            f"{root.absolute()} {problem}: set `datasets: {name}: root` in the config "
            f"to the folder of {name}"
        )
