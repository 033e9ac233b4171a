"""List the images of a data set."""

import logging
from pathlib import Path
from typing import Literal

from vitproto.cli import run
from vitproto.data import cub200_images, image_folder
from vitproto.data.data_root import check_root
from vitproto.data.image_list import write_image_list


def list_images(
    root: Path, out: Path, *, layout: Literal["cub200", "image_folder"], name: str
) -> None:
    """Write which images a data set holds, in which split and in which order.

    Args:
        root: the folder of the data set. For cub200: CUB_200_2011, or the folder
            that holds it, in the official layout or as image folders (train/,
            test/, metadata/). For image_folder: a folder for each class.
        out: the CSV file to write: image_id, path (relative to root), split,
            class_name. Its order is the order of images in all later files.
        layout: how the data set is laid out.
        name: what the config calls the data set, for messages.
    """
    check_root(root, name)
    if layout == "cub200":
        images = cub200_images.read_images(root)
    else:
        images = image_folder.read_images(root)
    write_image_list(images, out)
    for split, n_images in images["split"].value_counts().sort_index().items():
        logging.info("%s: %s images in the %s split", name, f"{n_images:,}", split)


if __name__ == "__main__":
    run(list_images)
