"""List the images of CUB-200-2011."""

from pathlib import Path

from vitproto.cli import run
from vitproto.data.cub200_images import read_images
from vitproto.data.data_root import check_root
from vitproto.data.image_list import write_image_list


def list_cub200(root: Path, out: Path, *, name: str) -> None:
    """Write which images CUB-200-2011 holds, in which split and in which order.

    Args:
        root: the folder CUB_200_2011, or the one that holds it, in the official
            layout or as image folders (train/, test/, metadata/).
        out: the CSV file to write: image_id, path (relative to root), split,
            class_name. Its order is the order of images in all later files.
        name: what the config calls the data set, for messages.
    """
    check_root(root, name)
    write_image_list(read_images(root), out)


if __name__ == "__main__":
    run(list_cub200)
