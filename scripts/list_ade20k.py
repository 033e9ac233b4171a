"""List the images of ADE20K, or of a data set in its layout."""

from pathlib import Path

from vitproto.cli import run
from vitproto.data.ade20k import read_images
from vitproto.data.data_root import check_root
from vitproto.data.image_list import write_image_list


def list_ade20k(root: Path, out: Path, *, name: str) -> None:
    """Write which images a data set with masks holds, in which split and order.

    Args:
        root: the folder ADEChallengeData2016, or the one that holds it; any data set
            with images/, annotations/ and objectInfo*.txt in the same layout works.
        out: the CSV file to write: image_id, path (relative to root), split (train
            for training, test for validation), class_name (the scene). Its order is
            the order of images in all later files.
        name: what the config calls the data set, for messages.
    """
    check_root(root, name)
    write_image_list(read_images(root), out)


if __name__ == "__main__":
    run(list_ade20k)
