"""Intervals of what supervised probes reach in one layer of an encoder."""

from pathlib import Path

import pandas as pd

from vitproto.report.shared.typed_csv import read_typed
from vitproto.report.traits.ceiling import COLUMNS, MAY_BE_EMPTY
from vitproto.report.traits.interval_table import interval_of
from vitproto.report.traits.statistics import CEILINGS
from vitproto.traits.ceiling_scores import open_ceiling_scores
from vitproto.traits.intervals import map_spread
from vitproto.traits.pooled_file import PooledLayer
from vitproto.traits.resampled_ceiling import resample_ceiling
from vitproto.traits.resampled_rows import ResampledImages


def tabulate_ceiling_intervals(
    ceiling: Path, scores: Path, images: ResampledImages
) -> pd.DataFrame:
    """The mAP of probes with its interval, over test images and selection seeds.

    Args:
        ceiling: the `ceiling.csv` of the layer.
        scores: the `ceiling_scores.h5` of the layer.
        images: the test images.

    Returns:
        A row per pooling and `n_train`.

    Raises:
        ValueError: a file is damaged, or the two are of different runs.
    """
    rows = read_typed(ceiling, COLUMNS, MAY_BE_EMPTY)
    first = rows.iloc[0]
    layer = PooledLayer(first["dataset"], first["encoder"], int(first["layer"]))
    with open_ceiling_scores(scores, layer) as opened:
        shown = rows[rows["test_ap"].notna()]
        resampled = resample_ceiling(shown, images, images.chance_RT, opened)
    table = []
    for (pooling, n_train), row in resampled.items():
        parts = map_spread(row, images.n_groups).with_fits(0.0)  # a single fit
        interval = interval_of(row.value, parts, images.n_groups, images.n_groups)
        place = [layer.encoder, layer.layer, n_train, pooling]
        table.append([*place, interval.value, interval.low, interval.high])
    return pd.DataFrame(table, columns=list(CEILINGS))
