"""Find all that is wrong with the files of a data set, before anything is recorded."""

from collections.abc import Callable
from pathlib import Path

from vitproto.checks.files import ImageReading, image_problems, mask_problems
from vitproto.data import ade20k, cub200_images, cub200_traits, image_folder
from vitproto.data.label_rule import LabelRule

READERS = {
    "cub200": cub200_images.read_images,
    "image_folder": image_folder.read_images,
    "ade20k": ade20k.read_images,
}
"""By layout, what lists the images of a data set."""


def problems_of(
    layout: str, root: Path, rule: LabelRule | None, reading: ImageReading
) -> list[str]:
    """Read all files of a data set as the stages do, and collect what they refuse.

    Args:
        layout: a key of `READERS`.
        root: the folder of the data set.
        rule: what the answers of annotators count as; None if traits are not used.
        reading: how image files are read.

    Returns:
        A sentence for each problem.
    """
    problems: list[str] = []

    def attempt(read: Callable):
        try:
            return read()
        except (ValueError, OSError) as error:
            problems.extend(str(error).split("\n"))
            return None

    if rule is not None and layout == "cub200":
        attempt(lambda: cub200_traits.read_traits(root, rule))
    classes = None
    if layout == "ade20k":
        classes = attempt(lambda: ade20k.read_classes(root))
    listed = attempt(lambda: READERS[layout](root))
    if listed is not None:
        paths = listed["path"].tolist()
        problems += image_problems([root / path for path in paths], reading)
        if classes is not None:
            problems += mask_problems(root, paths, len(classes), reading)
    # A bad image is found twice, the second time with its mask.
    return [*dict.fromkeys(problems)]
