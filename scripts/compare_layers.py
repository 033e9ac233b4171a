"""Compare the layers of each encoder."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.shared.markdown import write_section
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.traits.layer_table import describe_layers, tabulate_layers
from vitproto.report.traits.map_table import read_map_csv, write_map_csv


def compare_layers(
    map_table: Path,
    table: Path,
    csv: Path,
    png: Path,
    svg: Path,
    *,
    looks: StudyMethods,
) -> None:
    """Write and draw how mAP differs between layers.

    Args:
        map_table: The CSV file of tabulate_map.py.
        table: The Markdown file to write, for readers.
        csv: The CSV file to write, for programs.
        png: The chart to write for slides and READMEs.
        svg: The chart to write for print and for the page.
        looks: The methods of the study, which decide what each looks like.
    """
    from vitproto.report.shared.drawing import save_chart
    from vitproto.report.traits.layer_chart import draw_layers

    layers = tabulate_layers(read_map_csv(map_table))
    write_map_csv(layers, csv)
    write_text(write_section(describe_layers(layers)), table)
    save_chart(draw_layers(layers, looks.styles()), png, svg)


if __name__ == "__main__":
    run(compare_layers)
