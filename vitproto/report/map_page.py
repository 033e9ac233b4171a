"""The page of a trait study, which opens offline: charts, tables and traits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from vitproto.core.confidence import LEVEL, MIN_GROUPS, MIN_SHOWN_GROUPS
from vitproto.data.image_list import read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.pages.provenance import Provenance
from vitproto.pages.tables import sortable
from vitproto.pages.templates import inline, read_template
from vitproto.pictures.strip import SCALE
from vitproto.report.saes.imports import describe_imports
from vitproto.report.saes.markdown import describe_saes, explain_sae_columns
from vitproto.report.saes.table import tabulate_settings
from vitproto.report.shared.markdown import Section, TextTable
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.shared.method_texts import describe_methods
from vitproto.report.shared.runs import name_setting
from vitproto.report.shared.wording import write_bracketed
from vitproto.report.traits.answer import Place, Quoted, mark_controls, read_answer
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap
from vitproto.report.traits.encoder_table import describe_encoders, tabulate_encoders
from vitproto.report.traits.features_links import FeaturesLink
from vitproto.report.traits.group_table import describe_groups, read_group_csv
from vitproto.report.traits.layer_table import describe_layers, tabulate_layers
from vitproto.report.traits.map_markdown import HEADING, show_maps
from vitproto.report.traits.map_table import read_map_csv
from vitproto.report.traits.map_text import (
    Images,
    count_images,
    describe_configuration,
    explain_map_columns,
    find_best,
    write_chance_note,
)
from vitproto.report.traits.trait_links import TraitLinks
from vitproto.report.traits.trait_table import read_trait_intervals, tabulate_traits

TEMPLATE = Path(__file__).with_name("map_page.html.jinja")


class Charts(NamedTuple):
    """The charts of the page, as SVG documents."""

    map: str
    layers: str
    encoders: str
    groups: str


@dataclass(frozen=True)
class ChartFiles:
    """The files of the page's charts."""

    map_chart: Path
    """The SVG file of plot_map.py."""
    layer_chart: Path
    """The SVG file of compare_layers.py."""
    encoder_chart: Path
    """The SVG file of compare_encoders.py."""
    group_chart: Path
    """The SVG file of compare_groups.py."""

    def read(self) -> Charts:
        """Read the charts."""
        files = (self.map_chart, self.layer_chart, self.encoder_chart, self.group_chart)
        return Charts(*(file.read_text(encoding="utf-8") for file in files))


class Results(NamedTuple):
    """What a trait study found."""

    ap: pd.DataFrame
    """The rows of `read_ap`."""
    table: pd.DataFrame
    """The rows of `tabulate_configurations`."""
    groups: pd.DataFrame
    """The rows of `tabulate_groups`."""
    trait_intervals: pd.DataFrame
    """The rows of `read_trait_intervals`."""
    answer: Quoted
    """The answer."""
    images: Images
    """The images of the data set."""


@dataclass(frozen=True)
class ResultFiles:
    """The files of the page's tables."""

    map_table: Path
    """The CSV file of tabulate_map.py."""
    group_table: Path
    """The CSV file of compare_groups.py."""
    trait_intervals: tuple[Path, ...]
    """The trait_intervals.csv of each layer, in any order."""
    answer: Path
    """The Markdown file of tabulate_map.py with the answer."""

    def read(self, files: ApFiles, expected: Expected) -> Results:
        """Read what the study found.

        Args:
            files: the files with the AP of the study.
            expected: what these must hold.
        """
        table, labels = read_map_csv(self.map_table), TraitLabels.load(files.traits)
        return Results(
            *(read_ap(files, expected), table, read_group_csv(self.group_table)),
            read_trait_intervals(self.trait_intervals),
            read_answer(self.answer),
            count_images(read_splits(files.splits), labels, table),
        )


class Autoencoders(NamedTuple):
    """The autoencoders that the study trained."""

    metrics: pd.DataFrame
    """The rows of `read_metrics`."""
    n_correlated: int
    """The number of latents whose correlations were measured, at most."""
    front: str
    """The chart of their front, as an SVG document."""


def render_map_page(
    results: Results,
    place: Place,
    charts: Charts,
    saes: Autoencoders | None,
    imports: pd.DataFrame | None,
    features: Sequence[FeaturesLink],
    traits: TraitLinks,
    looks: StudyMethods,
    provenance: Provenance,
) -> str:
    """Write the page of a trait study.

    Args:
        results: what the study found.
        place: the encoder and layer that the answer is about.
        charts: the charts of the same AP.
        saes: the autoencoders that the study trained, if any.
        imports: the rows of `read_imports`, if it imported any.
        features: the pages of prototypes to link to.
        traits: the pages of traits to link to.
        looks: the methods of the study.
        provenance: where the page comes from.

    Returns:
        HTML that loads nothing but the thumbnails of some traits.
    """
    ap, table, groups, trait_intervals, answer, images = results
    best = find_best(table)
    sections = {
        "layers": describe_layers(tabulate_layers(table)),
        "encoders": describe_encoders(tabulate_encoders(table)),
        "groups": describe_groups(groups),
    }
    shown_saes = None if saes is None else _show_saes(saes)
    shown_imports = None if imports is None else describe_imports(imports)
    template = read_template(TEMPLATE)
    return template.render(
        dataset=best["dataset"],
        heading=HEADING,
        answer=answer,
        chart=inline(charts.map, "map"),
        sections=[
            (section, inline(getattr(charts, name), name))
            for name, section in sections.items()
        ],
        saes=shown_saes,
        imports=shown_imports,
        headings=[
            *(section.heading for section in sections.values()),
            *([shown_saes.section.heading] if shown_saes else []),
            *([shown_imports.heading] if shown_imports else []),
        ],
        picked=traits.highlights,
        scale=SCALE,
        features=features,
        trait_links=traits,
        methods=describe_methods(looks),
        table=_show_all(mark_controls(table, looks.controls)),
        above_chance=table["above_chance"].tolist(),
        chance_note=write_chance_note(table),
        meanings=explain_map_columns(table, images),
        best=describe_configuration(best),
        traits=_show_traits(tabulate_traits(ap, trait_intervals, best)),
        level=LEVEL,
        min_shown_groups=MIN_SHOWN_GROUPS,
        min_groups=MIN_GROUPS,
        provenance=provenance,
        script=sortable("maps", "traits"),
    )


def _show_all(table: pd.DataFrame) -> TextTable:
    """All rows of the mAP table, each with its encoder, layer and setting."""
    maps = show_maps(table)
    columns = {"Encoder": "<", "Layer": ">", "Setting": "<", **maps.columns}
    places = zip(table["encoder"], table["layer"], table.iloc, strict=True)
    rows = [
        [encoder, str(layer), name_setting(row), *cells]
        for (encoder, layer, row), cells in zip(places, maps.rows, strict=True)
    ]
    return TextTable(columns, rows)


def _show_traits(traits: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of `tabulate_traits`, with the AP and its interval in words as `ap`."""
    return [
        row | {"ap": write_bracketed(row["test_ap"], row["low"], row["high"])}
        for row in traits.to_dict("records")
    ]


class _ShownSaes(NamedTuple):
    section: Section
    front: Markup
    meanings: dict[str, str]


def _show_saes(saes: Autoencoders) -> _ShownSaes:
    table = tabulate_settings(saes.metrics)
    return _ShownSaes(
        describe_saes(table, saes.metrics),
        inline(saes.front, "autoencoders"),
        explain_sae_columns(table, saes.n_correlated),
    )
