"""Compare methods in one layer of an encoder, with intervals over test images."""

from pathlib import Path

from vitproto.core.csv_file import write_csv
from vitproto.launch.cli import run
from vitproto.report.traits.ap_table import read_rows
from vitproto.report.traits.ceiling_intervals import tabulate_ceiling_intervals
from vitproto.report.traits.method_comparison import compare_in_layer
from vitproto.traits.resampled_rows import read_resampled_images


def compare_methods(
    ap: tuple[Path, ...],
    chosen: tuple[Path, ...],
    ceiling: Path,
    ceiling_scores: Path,
    splits: Path,
    traits: Path,
    intervals: Path,
    pairs: Path,
    trait_intervals: Path,
    rules: Path,
    groups: Path,
    ceiling_intervals: Path,
    *,
    n_resamples: int,
) -> None:
    """Write intervals of each mAP and of all differences at equal numbers.

    Args:
        ap: The ap.csv of each family in one layer of one encoder.
        chosen: The chosen_scores.h5 of each, in the same order.
        ceiling: The ceiling.csv of the layer.
        ceiling_scores: The ceiling_scores.h5 of the layer.
        splits: The CSV file with the splits of the data set's images.
        traits: The NPZ file with the traits of each image.
        intervals: The CSV file to write: a row per configuration and n_train.
        pairs: The CSV file to write: a row per pair of methods, number of prototypes
            and n_train.
        trait_intervals: The CSV file to write: a row per method, number of prototypes,
            n_train and trait.
        rules: The CSV file to write: the mAP of each method by other label rules.
        groups: The CSV file to write: the AP of each method for kinds of traits and for
            attributes.
        ceiling_intervals: The CSV file to write: the mAP of supervised probes.
        n_resamples: Resamples of test images, by class.
    """
    images = read_resampled_images(splits, traits, n_resamples)
    tables = compare_in_layer(read_rows(ap, None), chosen, images)
    write_csv(intervals, tables.intervals)
    write_csv(pairs, tables.pairs)
    write_csv(trait_intervals, tables.traits)
    write_csv(rules, tables.rules)
    write_csv(groups, tables.groups)
    supervised = tabulate_ceiling_intervals(ceiling, ceiling_scores, images)
    write_csv(ceiling_intervals, supervised)


if __name__ == "__main__":
    run(compare_methods)
