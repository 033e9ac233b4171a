"""Compare kinds of traits."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.shared.drawing import save_chart
from vitproto.report.shared.markdown import write_section
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap
from vitproto.report.traits.group_chart import draw_groups
from vitproto.report.traits.group_table import describe_groups, tabulate_groups
from vitproto.report.traits.map_table import write_map_csv


def compare_groups(
    files: ApFiles, table: Path, csv: Path, png: Path, svg: Path, *, expected: Expected
) -> None:
    """Write and draw how well each method finds colours, patterns and shapes.

    Args:
        files: the files to read.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs.
        png: the chart to write for slides and READMEs.
        svg: the chart to write for print and for the page.
        expected: what the AP files must hold.
    """
    groups = tabulate_groups(read_ap(files, expected))
    write_map_csv(groups, csv)
    write_text(write_section(describe_groups(groups)), table)
    save_chart(draw_groups(groups), png, svg)


if __name__ == "__main__":
    run(compare_groups)
