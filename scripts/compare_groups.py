"""Compare kinds of traits."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.shared.markdown import write_section
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.traits.group_table import (
    describe_groups,
    read_groups,
    tabulate_groups,
)
from vitproto.report.traits.map_table import read_map_csv, write_map_csv


def compare_groups(
    map_table: Path,
    groups: tuple[Path, ...],
    table: Path,
    csv: Path,
    png: Path,
    svg: Path,
    *,
    looks: StudyMethods,
) -> None:
    """Write and draw how well each method finds colours, patterns and shapes.

    Args:
        map_table: The CSV file of tabulate_map.py.
        groups: The group_intervals.csv of each layer, in any order.
        table: The Markdown file to write, for readers.
        csv: The CSV file to write, for programs.
        png: The chart to write for slides and READMEs.
        svg: The chart to write for print and for the page.
        looks: The methods of the study, which decide what each looks like.
    """
    from vitproto.report.shared.drawing import save_chart
    from vitproto.report.traits.group_chart import draw_groups

    compared = tabulate_groups(read_groups(groups), read_map_csv(map_table))
    write_map_csv(compared, csv)
    write_text(write_section(describe_groups(compared)), table)
    save_chart(draw_groups(compared, looks.styles()), png, svg)


if __name__ == "__main__":
    run(compare_groups)
