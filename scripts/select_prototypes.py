"""Choose the prototype that finds each trait, and test it."""

import logging
from pathlib import Path
from typing import Literal

import pandas as pd

from vitproto.core.files import whole_file
from vitproto.data.image_list import check_same_images, read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.study.family import ScoredFamily
from vitproto.traits import selection
from vitproto.traits.chosen_scores import write_chosen
from vitproto.traits.guard import check_labels
from vitproto.traits.score_file import open_scores, read_scores


def select_prototypes(
    scores: Path,
    splits: Path,
    traits: Path,
    ap: Path,
    chosen: Path,
    *,
    n_train: tuple[int | Literal["all"], ...],
    selection_seeds: tuple[int, ...],
    study: str,
    runs: tuple[str, ...],
    family: ScoredFamily,
) -> None:
    """Write, per run and trait, the best prototype on n_train images and its test AP.

    A trait that none of the n_train images shows has no prototype and no train AP;
    its test AP is chance. A trait that no test image shows has no test AP.

    Args:
        scores: the HDF5 file with the image scores of all runs of a family.
        splits: the CSV file with the splits of the data set's images.
        traits: the NPZ file that says which image shows which trait.
        ap: the CSV file to write: a row per run, n_train, selection seed and trait.
        chosen: the HDF5 file to write: the scores of the chosen prototypes.
        n_train: how many training images choose, such as 16 256 all.
        selection_seeds: each draws other training images; more images hold the fewer.
        study: for the column of that name.
        runs: the runs of the family, all of them, such as k128-seed0.
        family: whose scores these are.
    """
    listed = read_splits(splits)
    image_ids = listed["image_id"].tolist()
    labels = TraitLabels.load(traits)
    check_same_images(labels.image_ids, str(traits), image_ids, str(splits))
    check_labels(labels.labels_NT, labels.trait_names, listed["split"].tolist())
    is_train_N = (listed["split"] == "train").to_numpy()
    prevalence_T = labels.labels_NT[~is_train_N].mean(axis=0)
    tables = []
    with (
        open_scores(scores, family, runs) as scored,
        write_chosen(chosen, scored, fingerprint("select_prototypes")) as writer,
    ):
        check_same_images(scored.image_ids, str(scores), image_ids, str(splits))
        for number, fitted in enumerate(scored.runs, 1):
            scores_NK = read_scores(scored, fitted)
            selections = selection.select_prototypes(
                scores_NK,
                labels.labels_NT,
                is_train_N,
                n_train,
                selection_seeds,
            )
            writer.add(fitted, selection.any_chosen(selections), scores_NK)
            run_columns = {
                "study": study,
                "dataset": family.dataset,
                "encoder": family.encoder,
                "layer": family.layer,
                "method": family.method,
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
    with whole_file(ap) as partial:
        pd.concat(tables).to_csv(partial, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(select_prototypes)
