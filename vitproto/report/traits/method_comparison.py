"""Comparison of all methods in one layer of an encoder, from the chosen scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from vitproto.core.progress import progress_bar
from vitproto.report.shared.runs import SETTING
from vitproto.report.traits.ap_table import CONFIGURATION, METHOD
from vitproto.report.traits.chosen_settings import keep_chosen
from vitproto.report.traits.group_intervals import (
    MeasuredGroup,
    list_groups,
    measure_groups,
    tabulate_groups,
)
from vitproto.report.traits.interval_table import (
    AT,
    Measured,
    Traits,
    measure_row,
    tabulate_pairs,
    tabulate_row,
    tabulate_traits_of_row,
)
from vitproto.report.traits.statistics import GROUPS, PAIRS, RULES
from vitproto.traits.chosen_scores import open_chosen_of
from vitproto.traits.intervals import Resampled, Spread, mean_fit_variance
from vitproto.traits.other_labels import find_effects, label_by_other_rules
from vitproto.traits.resampled_rows import ResampledImages, resample_rows


class Comparison(NamedTuple):
    """What the tables of a layer say."""

    intervals: pd.DataFrame
    """A row per configuration and `n_train`."""
    pairs: pd.DataFrame
    """A row per two methods at an equal number of prototypes and `n_train`."""
    traits: pd.DataFrame
    """A row per method with its chosen setting, and trait."""
    rules: pd.DataFrame
    """A row per method at the largest `n_train`, and label rule."""
    groups: pd.DataFrame
    """A row per method at the largest `n_train`, and kind of traits or attribute."""


@dataclass(frozen=True)
class _Chosen:
    """The setting that represents a method at a number of prototypes and `n_train`."""

    configuration: pd.Series
    row: Resampled
    spread: Spread
    groups: list[MeasuredGroup] = field(default_factory=list)
    """Its groups of traits, at the largest `n_train`."""


def compare_in_layer(
    ap: pd.DataFrame, chosen: Sequence[Path], images: ResampledImages
) -> Comparison:
    """Make the intervals of all methods in one layer of an encoder.

    All use the same resamples of test images. Methods are compared at each number of
    prototypes and `n_train`, each with the setting that is best on these training
    images.

    Args:
        ap: the rows of `read_rows`, of all families.
        chosen: the `chosen_scores.h5` of each family, in the order of methods' names.
        images: the test images.

    Raises:
        ValueError: the families are of several layers or encoders, or a file of scores
            does not belong to its family.
    """
    places = ap[["encoder", "layer"]].drop_duplicates()
    families = list(ap.groupby("method"))
    if len(places) != 1 or len(families) != len(chosen):
        raise ValueError(
            f"{len(families)} methods in {len(places)} layers and {len(chosen)} files "
            "of scores: give ap.csv and chosen_scores.h5 of each family in one layer"
        )
    shown = ap[ap["test_ap"].notna()]
    names = sorted(shown["trait"].unique(), key=images.place.__getitem__)
    columns_T = np.array([images.place[name] for name in names])
    traits = Traits(names, images.n_shown_groups_T[columns_T])
    groups = list_groups(names, columns_T, images)
    subsets = [np.arange(len(names)), *(group.members for group in groups)]
    # By all traits, like the table of mAP: one that only training images show counts in
    # the choice of a setting.
    is_chosen = set(_keys(keep_chosen(ap)))

    chance_RT, labels = images.chance_RT, label_by_other_rules(images)
    largest = ap["n_train"].max()
    measured: list[tuple[pd.Series, Measured]] = []
    compared: dict[tuple, dict[str, _Chosen]] = {}
    singles, rules = [], []
    bar = progress_bar(len(set(_keys(shown))), "rows")
    for path, (method, rows) in zip(chosen, families, strict=True):
        with open_chosen_of(path, rows) as scores:
            own = rows[rows["test_ap"].notna()]
            for _, setting in own.groupby([*METHOD, *SETTING], dropna=False):
                resampled = resample_rows(setting, images, chance_RT, scores, subsets)
                for n_train, (row, *of_groups) in resampled.items():
                    bar.update()
                    own_size = setting[setting["n_train"] == n_train]
                    configuration = own_size.iloc[0]
                    measured_row = measure_row(row, images.n_groups, traits)
                    measured.append((configuration, measured_row))
                    if _keys(configuration.to_frame().T)[0] not in is_chosen:
                        continue
                    of_method = _Chosen(configuration, row, measured_row.spread)
                    at = tuple(configuration[AT])
                    compared.setdefault(at, {})[method] = of_method
                    singles.append(
                        tabulate_traits_of_row(
                            configuration, row, images.n_groups, traits
                        )
                    )
                    if n_train == largest:
                        of_method.groups.extend(
                            measure_groups(of_groups, groups, chance_RT[:, columns_T])
                        )
                        place = dict(zip(AT, at, strict=True)) | {"method": method}
                        effects = find_effects(own_size, images, labels, scores)
                        rules += [place | effect._asdict() for effect in effects]
    bar.close()

    fit_variances = {
        at: mean_fit_variance(measured.spread for measured in methods.values())
        for at, methods in compared.items()
    }
    intervals = [
        tabulate_row(
            *(configuration, row),
            *(fit_variances[tuple(configuration[AT])], images.n_groups),
        )
        for configuration, row in measured
    ]
    pairs, grouped = [], []
    for at, methods in sorted(compared.items()):
        of_method = {method: chosen.row for method, chosen in methods.items()}
        fit_variance = fit_variances[at]
        pairs += tabulate_pairs(at, of_method, fit_variance, images.n_groups, traits)
        of_methods = [
            measured for _, measured in sorted(methods.items()) if measured.groups
        ]
        grouped += tabulate_groups(
            [measured.configuration for measured in of_methods],
            [measured.groups for measured in of_methods],
            *(groups, images.n_groups),
        )
    return Comparison(
        pd.DataFrame(intervals),
        pd.DataFrame(pairs, columns=list(PAIRS)),
        pd.concat(singles),
        pd.DataFrame(rules, columns=list(RULES)),
        pd.DataFrame(grouped, columns=list(GROUPS)),
    )


def _keys(rows: pd.DataFrame) -> list[tuple]:
    """The configurations of rows, each once; NaN as None, so that they are equal."""
    unique = rows[CONFIGURATION].drop_duplicates().astype(object)
    unique = unique.where(unique.notna(), None)
    return list(unique.itertuples(index=False, name=None))
