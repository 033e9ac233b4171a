"""Measure what suppression does, from the counts of all autoencoders."""

import logging
from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.segmentation.suppression_measures import measure, tabulate_classes
from vitproto.report.segmentation.suppression_table import (
    compare_with_controls,
    find_lengths,
    summarise,
)
from vitproto.report.shared.typed_csv import write_csv


def measure_suppression(
    counts: tuple[Path, ...],
    suppression: tuple[Path, ...],
    summary: Path,
    comparison: Path,
    *,
    controls: tuple[str, ...],
) -> None:
    """Measure what suppression does to each class and on average, with intervals.

    Needs no encoder and no GPU: all is computed from the counts of each image.

    Args:
        counts: The HDF5 files of suppress_latents.py, one for each autoencoder.
        suppression: The CSV files to write, in the same order, with a row for each
            class, edit and dose.
        summary: The CSV file to write, with means over classes at equal edit length and
            where classes have lost half of their IoU.
        comparison: The CSV file to write, which compares trained autoencoders with
            untrained ones.
        controls: The methods that train nothing.
    """
    saes = measure(counts)
    for sae, path in zip(saes, suppression, strict=True):
        write_csv(tabulate_classes(sae), path)
    lengths = find_lengths(saes)
    write_csv(summarise(saes, lengths), summary)
    write_csv(compare_with_controls(saes, lengths, controls), comparison)
    for layer, length in lengths.items():
        logging.info("layer %d: compared at edit length %g", layer.layer, length)


if __name__ == "__main__":
    run(measure_suppression)
