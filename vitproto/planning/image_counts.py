"""Whether data sets have as many images as the configuration says."""

import csv
from pathlib import Path

from vitproto.planning.costs.sizes import Config, count_images


def wrong_counts(config: Config, lists: Path) -> list[str]:
    """Name data sets that are much smaller or larger than the configuration says.

    Args:
        config: the study.
        lists: the folder with the lists of images made so far.

    Returns:
        A sentence for each that differs by more than a tenth.
    """
    sentences = []
    for name, dataset in config["datasets"].items():
        file, planned = lists / f"{name}.images.csv", count_images(config, name)
        if "draw" in dataset or not file.is_file():
            continue
        with file.open(encoding="utf-8", newline="") as rows:
            n_images = sum(1 for _ in csv.reader(rows)) - 1  # without the header
        if abs(n_images - planned) > 0.1 * n_images:
            sentences.append(
                f"{file} lists {n_images} images, the plan is for {planned}: write "
                f"datasets: {name}: n_images: {n_images}"
            )
    return sentences
