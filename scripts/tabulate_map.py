"""Tabulate the mAP of all configurations, and answer which method finds traits best."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.data.image_list import read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.launch.cli import run
from vitproto.report.shared.typed_csv import write_csv
from vitproto.report.traits.answer import Place, find_answer, mark_controls
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap
from vitproto.report.traits.ceiling import read_ceiling, tabulate_ceiling
from vitproto.report.traits.comparison_table import tabulate_comparisons
from vitproto.report.traits.label_rules import RuleEffects
from vitproto.report.traits.map_markdown import write_map_table
from vitproto.report.traits.map_table import tabulate_configurations, write_map_csv
from vitproto.report.traits.map_text import count_images
from vitproto.report.traits.statistics import StatisticsFiles, read_statistics


def tabulate_map(
    files: ApFiles,
    statistics: StatisticsFiles,
    table: Path,
    csv: Path,
    comparisons: Path,
    answer: Path,
    *,
    place: Place,
    controls: tuple[str, ...],
    present: tuple[int, ...],
    unknown: tuple[int, ...],
    expected: Expected,
) -> None:
    """Write the mAP of the chosen prototypes with intervals, and who is better.

    Args:
        files: The files to read.
        statistics: What other stages measured of the same mAPs.
        table: The Markdown file to write, for readers.
        csv: The CSV file to write, for programs.
        comparisons: The CSV file to write, of all pairs of methods.
        answer: The Markdown file to write: a few sentences and a matrix.
        place: The encoder and layer that the answer is about.
        controls: The methods that train nothing.
        present: Certainties of answers with which a trait counts as present.
        unknown: Certainties of answers that do not count at all.
        expected: What the AP files must hold.
    """
    measured = read_statistics(statistics, expected.study)
    supervised = read_ceiling(statistics.ceiling, files, expected)
    results = tabulate_configurations(
        read_ap(files, expected), measured, tabulate_ceiling(supervised)
    )
    compared = tabulate_comparisons(measured.pairs, expected.dataset)
    labels = TraitLabels.load(files.traits)
    images = count_images(read_splits(files.splits), labels, results)
    write_map_csv(results, csv)
    write_csv(compared, comparisons)
    results, compared, rules = (
        mark_controls(rows, controls) for rows in (results, compared, measured.rules)
    )
    said = find_answer(results, compared, place)
    write_text(said.in_markdown(), answer)
    effects = RuleEffects(present, unknown, rules)
    shown = write_map_table(results, compared, effects, said, place, images)
    write_text(shown, table)


if __name__ == "__main__":
    run(tabulate_map)
