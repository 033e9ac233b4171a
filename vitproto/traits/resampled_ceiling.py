"""AP of supervised probes in resamples of test images.

Axes: R resamples of groups of test images, T traits that a test image shows.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float

from vitproto.traits.ceiling_scores import CeilingScores
from vitproto.traits.intervals import Resampled
from vitproto.traits.resampled_ap import resample_ap
from vitproto.traits.resampled_rows import (
    ResampledImages,
    ResampledSums,
    check_same_ap,
)


def resample_ceiling(
    rows: pd.DataFrame,
    test: ResampledImages,
    chance_RT: Float[np.ndarray, "r t"],
    scores: CeilingScores,
) -> dict[tuple[str, int], Resampled]:
    """The AP of probes in resamples, by pooling and `n_train`.

    Args:
        rows: the rows of `ceiling.csv` of one layer, for traits that an image shows.
        test: the test images.
        chance_RT: their `chance_RT`, which is the AP of a trait without a probe.
        scores: the scores of the probes.

    Raises:
        ValueError: an AP differs from the one in the rows.
    """
    traits = sorted(rows["trait"].unique(), key=test.place.__getitem__)
    columns = [test.place[trait] for trait in traits]
    resampled = {}
    for (pooling, n_train), size in rows.groupby(["pooling", "n_train"]):
        seeds = sorted(size["selection_seed"].unique().tolist())
        sums = ResampledSums(1, len(seeds), [np.arange(len(traits))])
        for s, seed in enumerate(seeds):
            own = size[size["selection_seed"] == seed].set_index("trait").loc[traits]
            ap_RT = resample_ap(
                scores.read(pooling, n_train, seed)[:, columns],
                test.labels_NT[:, columns],
                test.group_N,
                test.counts_RG,
                test.known_NT[:, columns],
            )
            without_T = own["regularisation"].isna().to_numpy()
            ap_RT[:, without_T] = chance_RT[:, columns][:, without_T]
            check_same_ap(own, ap_RT[0], scores.path, "fit probes again")
            sums.add(0, s, ap_RT)
        (resampled[pooling, n_train],) = sums.finish()
    return resampled
