"""List the images of a table of traits."""

from pathlib import Path

from vitproto.data.data_root import check_root
from vitproto.data.image_list import write_image_list, write_splits
from vitproto.data.stratified_split import TableSplit
from vitproto.data.trait_table import read_images
from vitproto.launch.cli import run


def list_table(
    root: Path,
    table: Path,
    images: Path,
    splits: Path,
    *,
    dataset: str,
    split: TableSplit,
) -> None:
    """List the images of a table of traits, sorted by path, with their splits.

    Args:
        root: The folder of images.
        table: The CSV file with a row for each image.
        images: The CSV file to write: image_id, path (relative to root). Its order is
            the order of images in all later files.
        splits: The CSV file to write, in the same order: image_id, split, class_name,
            which is the group of the image.
        dataset: The name of the data set in the configuration, for messages.
        split: How images are divided if the table has no column split.
    """
    check_root(root, dataset)
    listed = read_images(root, table, split)
    write_image_list(listed, images)
    write_splits(listed, splits)


if __name__ == "__main__":
    run(list_table)
