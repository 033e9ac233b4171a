"""Fit supervised probes for traits, and test them."""

import logging
from pathlib import Path
from typing import Literal

import pandas as pd

from vitproto.core.csv_file import write_csv
from vitproto.data.image_list import check_same_images, read_splits
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.traits.ceiling_rows import in_words, to_ceiling_rows
from vitproto.traits.ceiling_scores import add_scores, create_ceiling_scores
from vitproto.traits.pooled_file import PooledLayer, read_pooled
from vitproto.traits.trait_probes import (
    TraitProbeSettings,
    find_fold_groups,
    fit_trait_probes,
)
from vitproto.traits.trait_split import read_trait_split


def probe_traits(
    pooled: Path,
    splits: Path,
    traits: Path,
    ceiling: Path,
    ceiling_scores: Path,
    *,
    n_train: tuple[int | Literal["all"], ...],
    selection_seeds: tuple[int, ...],
    study: str,
    layer: PooledLayer,
    settings: TraitProbeSettings,
) -> None:
    """Write, per pooling, subset and trait, the AP of a linear probe with those labels.

    Args:
        pooled: The HDF5 file of pooled activations.
        splits: The CSV file with the splits and classes of the data set's images.
        traits: The NPZ file with the traits of each image.
        ceiling: The CSV file to write: a row per pooling, n_train, selection seed and
            trait.
        ceiling_scores: The HDF5 file to write: the scores of test images.
        n_train: Numbers of training images to fit to, such as 16 256 all.
        selection_seeds: Each draws other training images, the same as for prototypes.
        study: The value of the column `study`.
        layer: Whose activations were pooled.
        settings: How probes are fitted.
    """
    images = read_trait_split(splits, traits)
    classes = read_splits(splits)["class_name"].tolist()
    groups = find_fold_groups(classes, images.is_train_N)
    acts = read_pooled(pooled, layer)
    check_same_images(acts.image_ids, str(pooled), images.image_ids, str(splits))
    test_ids = [
        image_id
        for image_id, is_train in zip(images.image_ids, images.is_train_N, strict=True)
        if not is_train
    ]
    tables, code = [], fingerprint("probe_traits")
    with create_ceiling_scores(
        ceiling_scores, layer, test_ids, images.trait_names, code
    ) as file:
        for pooling, pooled_ND in acts.pooled.items():
            probes = fit_trait_probes(
                *(pooled_ND, images, groups, n_train, selection_seeds, settings),
            )
            add_scores(file, pooling, probes)
            rows = to_ceiling_rows(probes, images, study, layer, pooling)
            tables.append(rows)
            logging.info("%s: %s", pooling, in_words(probes, rows))
    write_csv(ceiling, pd.concat(tables))


if __name__ == "__main__":
    run(probe_traits)
