"""List the images of CUB-200-2011."""

from pathlib import Path

from vitproto.data.cub200_images import read_images
from vitproto.data.data_root import check_root
from vitproto.data.image_list import write_image_list, write_splits
from vitproto.launch.cli import run


def list_cub200(root: Path, images: Path, splits: Path, *, dataset: str) -> None:
    """List the images of CUB-200-2011, in a fixed order, with their splits.

    Args:
        root: The folder CUB_200_2011, or the one above it, in the official layout or as
            image folders (train/, test/, metadata/).
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
    run(list_cub200)
