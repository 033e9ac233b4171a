"""List the images of a folder with one folder for each class."""

from pathlib import Path

from vitproto.cli import run
from vitproto.data.data_root import check_root
from vitproto.data.image_folder import read_images
from vitproto.data.image_list import write_image_list


def list_image_folder(root: Path, out: Path, *, name: str) -> None:
    """Write which images a folder holds, in which split and in which order.

    Args:
        root: the folder of the data set, with a folder for each class.
        out: the CSV file to write: image_id, path (relative to root), split,
            class_name. Its order is the order of images in all later files.
        name: what the config calls the data set, for messages.
    """
    check_root(root, name)
    write_image_list(read_images(root), out)


if __name__ == "__main__":
    run(list_image_folder)
