"""Select prototypes on permuted labels: the mAP of scores that mean nothing."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import pandas as pd

from vitproto.core.csv_file import write_csv
from vitproto.core.progress import progress_bar
from vitproto.data.image_list import check_same_images
from vitproto.launch.cli import run
from vitproto.study.family import ScoredFamily
from vitproto.traits.permuted_labels import permuted_maps, take_turns
from vitproto.traits.score_file import open_scores, read_scores
from vitproto.traits.trait_split import read_trait_split


def permute_labels(
    scores: Path,
    splits: Path,
    traits: Path,
    null: Path,
    *,
    n_train: tuple[int | Literal["all"], ...],
    selection_seeds: tuple[int, ...],
    n_permutations: int,
    study: str,
    runs: tuple[str, ...],
    family: ScoredFamily,
) -> None:
    """Write the mAP of each configuration under permutations of the labels.

    Args:
        scores: The HDF5 file with the image scores of all runs of a family.
        splits: The CSV file with the splits of the data set's images.
        traits: The NPZ file with the traits of each image.
        null: The CSV file to write: a row per configuration, n_train and permutation.
        n_train: Numbers of training images to choose on, such as 16 256 all.
        selection_seeds: Each draws other training images.
        n_permutations: Permutations of the labels of each configuration, spread over
            its fit and selection seeds.
        study: The value of the column `study`.
        runs: All runs of the family, such as k128-seed0.
        family: The family that the scores belong to.
    """
    images = read_trait_split(splits, traits)
    rows = []
    with open_scores(scores, family, runs) as scored:
        check_same_images(scored.image_ids, str(scores), images.image_ids, str(splits))
        bar = progress_bar(len(scored.runs), "runs")
        for turns in take_turns(scored.runs, n_permutations):
            scores_NK = read_scores(scored, turns.run)
            permuted = permuted_maps(scores_NK, images, n_train, selection_seeds, turns)
            fit = turns.settings | {"seed": turns.run.seed}
            rows += [fit | row._asdict() for row in permuted]
            bar.update()
        bar.close()
    names = {"study": study, **asdict(family)}
    write_csv(null, pd.DataFrame(rows).assign(**names))


if __name__ == "__main__":
    run(permute_labels)
