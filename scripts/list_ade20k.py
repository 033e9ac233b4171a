"""List the images of ADE20K, or of a data set in its layout."""

from pathlib import Path

from vitproto.data.ade20k import read_images
from vitproto.data.data_root import check_root
from vitproto.data.image_list import write_image_list, write_splits
from vitproto.launch.cli import run


def list_ade20k(root: Path, images: Path, splits: Path, *, dataset: str) -> None:
    """List the images of a data set with masks, in a fixed order, with their splits.

    Args:
        root: The folder ADEChallengeData2016, or the one above it; any data set with
            images/, annotations/ and objectInfo*.txt in the same layout works.
        images: The CSV file to write: image_id, path (relative to root). Its order is
            the order of images in all later files.
        splits: The CSV file to write, in the same order: image_id, split (train for
            training, test for validation), class_name (the scene).
        dataset: The name of the data set in the configuration, for messages.
    """
    check_root(root, dataset)
    listed = read_images(root)
    write_image_list(listed, images)
    write_splits(listed, splits)


if __name__ == "__main__":
    run(list_ade20k)
