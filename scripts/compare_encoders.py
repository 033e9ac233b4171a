"""Compare encoders, each in its best layer."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.shared.drawing import save_chart
from vitproto.report.shared.markdown import write_section
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap
from vitproto.report.traits.encoder_chart import draw_encoders
from vitproto.report.traits.encoder_table import describe_encoders, tabulate_encoders
from vitproto.report.traits.map_table import tabulate_configurations, write_map_csv


def compare_encoders(
    files: ApFiles, table: Path, csv: Path, png: Path, svg: Path, *, expected: Expected
) -> None:
    """Write and draw how mAP differs between encoders.

    Args:
        files: the files to read.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs.
        png: the chart to write for slides and READMEs.
        svg: the chart to write for print and for the page.
        expected: what the AP files must hold.
    """
    encoders = tabulate_encoders(tabulate_configurations(read_ap(files, expected)))
    write_map_csv(encoders, csv)
    write_text(write_section(describe_encoders(encoders)), table)
    save_chart(draw_encoders(encoders), png, svg)


if __name__ == "__main__":
    run(compare_encoders)
