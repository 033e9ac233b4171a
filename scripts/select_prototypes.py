"""Choose the prototype that finds each trait best, and test it."""

import logging
from pathlib import Path
from typing import Literal

import pandas as pd

from vitproto.core.csv_file import write_csv
from vitproto.data.image_list import check_same_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.study.family import ScoredFamily
from vitproto.traits import selection
from vitproto.traits.ap_rows import to_ap_rows
from vitproto.traits.chosen_scores import write_chosen
from vitproto.traits.score_file import open_scores, read_scores
from vitproto.traits.trait_split import read_trait_split


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
        scores: The HDF5 file with the image scores of all runs of a family.
        splits: The CSV file with the splits of the data set's images.
        traits: The NPZ file with the traits of each image.
        ap: The CSV file to write: a row per run, n_train, selection seed and trait.
        chosen: The HDF5 file to write: the scores of the chosen prototypes.
        n_train: Numbers of training images to choose on, such as 16 256 all.
        selection_seeds: Each draws other training images; larger subsets contain
            smaller ones.
        study: The value of the column `study`.
        runs: All runs of the family, such as k128-seed0.
        family: The family that the scores belong to.
    """
    images = read_trait_split(splits, traits)
    tables = []
    with (
        open_scores(scores, family, runs) as scored,
        write_chosen(chosen, scored, fingerprint("select_prototypes")) as writer,
    ):
        check_same_images(scored.image_ids, str(scores), images.image_ids, str(splits))
        for number, fitted in enumerate(scored.runs, 1):
            scores_NK = read_scores(scored, fitted)
            selections = selection.select_prototypes(
                *(scores_NK, images.labels_NT, images.known_NT),
                *(images.is_train_N, n_train, selection_seeds),
            )
            writer.add(fitted, selection.any_chosen(selections), scores_NK)
            n_alive = selection.count_alive(scores_NK[images.is_train_N])
            rows = to_ap_rows(selections, images, study, family, fitted, n_alive)
            tables.append(rows)
            progress = f"{fitted.name} ({number} of {len(runs)})"
            logging.info("%s: %s", progress, selection.in_words(selections))
    write_csv(ap, pd.concat(tables))


if __name__ == "__main__":
    run(select_prototypes)
