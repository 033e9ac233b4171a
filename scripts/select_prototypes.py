"""Choose the prototype that finds each trait, and test it."""

import logging
from pathlib import Path
from typing import Literal

import h5py
import pandas as pd

from vitproto.cli import run
from vitproto.data.image_list import check_same_images, read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.files import whole_file
from vitproto.runs import Run
from vitproto.traits import selection
from vitproto.traits.guard import check_labels


def select_prototypes(
    scores: Path,
    splits: Path,
    traits: Path,
    out: Path,
    *,
    n_train: tuple[int | Literal["all"], ...],
    selection_seeds: tuple[int, ...],
    dataset: str,
    encoder: str,
    layer: int,
    method: str,
) -> None:
    """Write, per run and trait, the best prototype on n_train images and its test AP.

    A trait that none of the n_train images shows has no prototype and no train AP;
    its test AP is chance. A trait that no test image shows has no test AP.

    Args:
        scores: the HDF5 file with the image scores of all runs of a family.
        splits: the CSV file with the splits of the data set's images.
        traits: the NPZ file that says which image shows which trait.
        out: the CSV file to write: a row per run, n_train, selection seed and trait.
        n_train: how many training images choose, such as 16 256 all.
        selection_seeds: each draws other training images; more images hold the fewer.
        dataset: for the column of that name, like the three below.
        encoder: what recorded the activations.
        layer: of which block, counted from 0.
        method: how the prototypes were made.
    """
    listed = read_splits(splits)
    image_ids = listed["image_id"].tolist()
    labels = TraitLabels.load(traits)
    check_same_images(labels.image_ids, str(traits), image_ids, str(splits))
    check_labels(labels.labels_NT, labels.trait_names, listed["split"].tolist())
    is_train_N = (listed["split"] == "train").to_numpy()
    prevalence_T = labels.labels_NT[~is_train_N].mean(axis=0)
    tables = []
    with h5py.File(scores) as file:
        scored_ids = file["image_ids"].asstr()[()].tolist()
        check_same_images(scored_ids, str(scores), image_ids, str(splits))
        runs = sorted(Run.parse(name) for name in file if name != "image_ids")
        for number, fitted in enumerate(runs, 1):
            scores_NK = file[f"{fitted.name}/scores_NK"][()]
            selections = selection.select_prototypes(
                scores_NK,
                labels.labels_NT,
                is_train_N,
                n_train,
                selection_seeds,
            )
            run_columns = {
                "dataset": dataset,
                "encoder": encoder,
                "layer": layer,
                "method": method,
                "n_prototypes": fitted.n_prototypes,
                "learning_rate": fitted.learning_rate,
                "sparsity": fitted.sparsity,
                "seed": fitted.seed,
                "n_alive": selection.count_alive(scores_NK[is_train_N]),
            }
            table = selection.to_table(selections, labels.trait_names, prevalence_T)
            tables.append(pd.DataFrame({**run_columns, **table}))
            progress = f"{fitted.name} ({number} of {len(runs)})"
            logging.info("%s: %s", progress, selection.in_words(selections))
    if not tables:
        raise ValueError(f"{scores} holds no run: delete it and score the images again")
    with whole_file(out) as partial:
        pd.concat(tables).to_csv(partial, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(select_prototypes)
