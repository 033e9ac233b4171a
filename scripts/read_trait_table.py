"""Read the trait labels of a table of traits."""

from pathlib import Path
from typing import Literal

from vitproto.data.trait_table import read_traits
from vitproto.launch.cli import run
from vitproto.traits.save_labels import save_labels


def read_trait_table(
    table: Path,
    splits: Path,
    traits: Path,
    *,
    dataset: str,
    n_train: tuple[int | Literal["all"], ...],
) -> None:
    """Write which image shows which trait, from a CSV file.

    Numbers of training images that the data set does not have are refused.

    Args:
        table: The CSV file with a row for each image and a column for each trait.
        splits: The CSV file with the splits of its images, of list_table.py.
        traits: The NPZ file to write: image_ids, trait_names, labels_NT and known_NT.
        dataset: The name of the data set in the configuration, for messages.
        n_train: The numbers of training images on which prototypes will be chosen.
    """
    save_labels(read_traits(table), str(table), splits, traits, dataset, n_train)


if __name__ == "__main__":
    run(read_trait_table)
