"""Compare encoders, each in its best layer."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.launch.cli import run
from vitproto.report.shared.drawing import save_chart
from vitproto.report.shared.markdown import write_section
from vitproto.report.traits.ap_table import Expected, read_ap
from vitproto.report.traits.encoder_chart import draw_encoders
from vitproto.report.traits.encoder_table import describe_encoders, tabulate_encoders
from vitproto.report.traits.map_table import tabulate, write_csv


def compare_encoders(
    ap: tuple[Path, ...],
    splits: Path,
    traits: Path,
    table: Path,
    csv: Path,
    png: Path,
    svg: Path,
    *,
    expected: Expected,
) -> None:
    """Write and draw the mAP of encoders.

    Args:
        ap: the CSV files of per-trait AP, of one data set, in any order.
        splits: the CSV file with the splits of that data set's images.
        traits: the NPZ file with the traits of each image.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs.
        png: the PNG file to write, for slides and READMEs.
        svg: the SVG file to write, for print and the page.
        expected: the runs, subsets and traits that these files must have.
    """
    encoders = tabulate_encoders(tabulate(read_ap(ap, splits, traits, expected)))
    write_csv(encoders, csv)
    with whole_file(table) as partial:
        text = write_section(describe_encoders(encoders))
        partial.write_text(text, encoding="utf-8")
    chart = draw_encoders(encoders)
    save_chart(chart, png)
    save_chart(chart, svg)


if __name__ == "__main__":
    run(compare_encoders)
