"""Decode all images of a data set, and its masks, before a GPU waits for them."""

import csv
import logging
from pathlib import Path
from typing import Literal

from vitproto.activations.image_digests import write_image_digests
from vitproto.checks.files import ImageReading, checked_images, mask_problems
from vitproto.checks.problem_list import count_problems, describe
from vitproto.core.files import whole_file
from vitproto.core.hdf5_file import whole_hdf5, write_strings
from vitproto.data.ade20k import mask_path, read_classes
from vitproto.data.data_root import check_root
from vitproto.data.image_list import read_image_list
from vitproto.launch.cli import run


def check_images(
    root: Path,
    images: Path,
    digests: Path,
    checked: Path,
    *,
    dataset: str,
    layout: Literal["cub200", "table", "image_folder", "ade20k"],
    reading: ImageReading,
) -> None:
    """Decode all images of a data set, and its masks, before a GPU waits for them.

    Args:
        root: The folder of the data set.
        images: The CSV file that lists its images.
        digests: The HDF5 file to write, with the SHA-256 of each image: it tells later
            whether an image is another one.
        checked: The CSV file to write: how many files of each kind were decoded.
        dataset: The name of the data set in the configuration, for messages.
        layout: How its files are laid out; ade20k has masks.
        reading: How image files are read.
    """
    check_root(root, dataset)
    listed = read_image_list(images)
    paths = listed["path"].tolist()
    rows = [("images", len(paths))]
    found = [*checked_images([root / path for path in paths], reading)]
    problems = [image.problem for image in found if image.problem]
    if layout == "ade20k":
        rows.append(("masks", len(paths)))
        n_classes = len(read_classes(root))
        pairs = [(mask_path(root, path), root / path) for path in paths]
        problems += mask_problems(pairs, n_classes, reading)
    # A bad image is found twice, the second time with its mask.
    if problems := [*dict.fromkeys(problems)]:
        raise ValueError(
            f"{count_problems(problems)} with the files of {dataset}:\n"
            + "\n".join(describe(problems))
        )
    with whole_hdf5(digests) as file:
        write_strings(file, "image_ids", listed["image_id"].tolist())
        write_image_digests(file, [image.sha256 for image in found])
    with whole_file(checked) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("files", "n"), *rows])
    logging.info("%s: %s", dataset, ", ".join(f"{n:,} {what}" for what, n in rows))


if __name__ == "__main__":
    run(check_images)
