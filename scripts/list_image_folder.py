"""List the images of a folder with one folder for each class."""

from pathlib import Path

from vitproto.data.data_root import check_root
from vitproto.data.image_folder import read_images
from vitproto.data.image_list import write_image_list, write_splits
from vitproto.launch.cli import run


def list_image_folder(root: Path, images: Path, splits: Path, *, dataset: str) -> None:
    """List the images of a folder, in a fixed order, with their splits.

    Args:
        root: The folder of the data set, with a folder for each class.
        images: The CSV file to write: image_id, path (relative to root). Its order is
            the order of images in all later files.
        splits: The CSV file to write, in the same order: image_id, split, class_name.
        dataset: The name of the data set in the configuration, for messages.
    """
    check_root(root, dataset)
    listed = read_images(root)
    write_image_list(listed, images)
    write_splits(listed, splits)


if __name__ == "__main__":
    run(list_image_folder)
