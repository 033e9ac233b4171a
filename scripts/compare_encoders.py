"""Compare encoders, each in its best layer."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.shared.markdown import write_section
from vitproto.report.traits.encoder_table import describe_encoders, tabulate_encoders
from vitproto.report.traits.map_table import read_map_csv, write_map_csv


def compare_encoders(
    map_table: Path, table: Path, csv: Path, png: Path, svg: Path
) -> None:
    """Write and draw how mAP differs between encoders.

    Args:
        map_table: The CSV file of tabulate_map.py.
        table: The Markdown file to write, for readers.
        csv: The CSV file to write, for programs.
        png: The chart to write for slides and READMEs.
        svg: The chart to write for print and for the page.
    """
    from vitproto.report.shared.drawing import save_chart
    from vitproto.report.traits.encoder_chart import draw_encoders

    encoders = tabulate_encoders(read_map_csv(map_table))
    write_map_csv(encoders, csv)
    write_text(write_section(describe_encoders(encoders)), table)
    save_chart(draw_encoders(encoders), png, svg)


if __name__ == "__main__":
    run(compare_encoders)
