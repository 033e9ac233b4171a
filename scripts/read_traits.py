"""Read the trait labels of CUB-200-2011."""

from pathlib import Path
from typing import Literal

from vitproto.data.cub200_traits import read_traits as read_cub200
from vitproto.data.data_root import check_root
from vitproto.data.label_rule import LabelRule
from vitproto.launch.cli import run
from vitproto.traits.save_labels import save_labels


def read_traits(
    root: Path,
    splits: Path,
    traits: Path,
    *,
    dataset: str,
    n_train: tuple[int | Literal["all"], ...],
    rule: LabelRule,
) -> None:
    """Write which image shows which of the 312 attributes.

    Labels for which constant scores would look good are refused, and so are numbers of
    training images that the data set does not have.

    Args:
        root: The folder CUB_200_2011, or the one above it, in the official layout or as
            image folders (train/, test/, metadata/).
        splits: The CSV file with the splits of its images, of list_cub200.py.
        traits: The NPZ file to write: image_ids, trait_names, labels_NT, known_NT and
            answers_NT.
        dataset: The name of the data set in the configuration, for messages.
        n_train: The numbers of training images on which prototypes will be chosen.
        rule: What the answers of annotators count as.
    """
    check_root(root, dataset)
    save_labels(read_cub200(root, rule), str(root), splits, traits, dataset, n_train)


if __name__ == "__main__":
    run(read_traits)
