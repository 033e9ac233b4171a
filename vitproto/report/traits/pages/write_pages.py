"""Write the pages of all traits in one layer into a folder."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from vitproto.core.progress import progress_bar
from vitproto.features.shown import ShownImages, write_thumbnails
from vitproto.report.shared.drawing import to_svg
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.shared.typed_csv import write_csv
from vitproto.report.traits.pages.curve_chart import draw_curves
from vitproto.report.traits.pages.finders import Finder
from vitproto.report.traits.pages.highlights import (
    Pick,
    pick_highlights,
    show_highlight,
)
from vitproto.report.traits.pages.index_page import TraitRow, find_best, render_index
from vitproto.report.traits.pages.panels import Panel
from vitproto.report.traits.pages.picks import Examples, draw_examples
from vitproto.report.traits.pages.trait_facts import (
    LayerFacts,
    count_trait,
    tabulate_trait,
)
from vitproto.report.traits.pages.trait_page import (
    Gallery,
    ImageNames,
    Neighbours,
    TraitLink,
    TraitPage,
    render_trait_page,
    show_examples,
    show_panel,
)
from vitproto.report.traits.trait_links import name_page
from vitproto.traits.precision_recall import precision_recall
from vitproto.traits.trait_split import TraitSplit

THUMBNAILS = "images"
"""The folder of thumbnails beside the pages."""

N_INDEXED = 3
"""Images beside each trait in the list."""


@dataclass(frozen=True)
class TraitPages:
    """What the pages of traits are made of.

    Attributes:
        dataset: the data set.
        place: the layer, in words.
        traits: which image shows which trait.
        class_names: the class of each image, empty where it has none.
        finders: the prototypes that are shown, the method with the highest mAP first.
        facts: AP of all traits in this layer.
        panels: the picked images of each prototype, trait by trait.
        heat: for each panel the scores of its images' patches.
        source: the images.
        n_images: most images in a strip.
        looks: the methods of the study.
    """

    dataset: str
    place: str
    traits: TraitSplit
    class_names: Sequence[str]
    finders: Sequence[Finder]
    facts: LayerFacts
    panels: Sequence[Panel]
    heat: Sequence[Float32[np.ndarray, "_ p"]]
    source: ShownImages
    n_images: int
    looks: StudyMethods

    def write(self, folder: Path) -> None:
        """Write the list of traits, a page for each, their images, and all numbers."""
        names = self.traits.trait_names
        files = [name_page(t, trait) for t, trait in enumerate(names)]
        images = sorted(
            {
                image
                for examples in self.examples
                for group in examples
                for image in group
            }
            | {image for panel in self.panels for image in panel.picks.images}
        )
        (folder / THUMBNAILS).mkdir()
        thumbnails = write_thumbnails(images, self.source, folder / THUMBNAILS)
        gallery = Gallery(
            ImageNames(self.traits.image_ids, list(self.class_names)),
            thumbnails,
            self.source.preprocessing,
        )
        rows, highlights = [], {}
        with progress_bar(len(names), "pages") as progress:
            for t, file in enumerate(files):
                page = self._make_page(t, gallery, files)
                (folder / file).write_text(render_trait_page(page), encoding="utf-8")
                rows.append(self._make_row(t, file, page, gallery))
                if page.trait in self.picked:
                    highlights[page.trait] = self._make_highlight(page, file)
                progress.update()
        index = render_index(
            rows, self.finders, self.dataset, self.place, self.looks.controls
        )
        (folder / "index.html").write_text(index, encoding="utf-8")
        write_csv(self.tabulate_images(), folder / "shown_images.csv")
        pages = dict(zip(names, files, strict=True))
        (folder / "pages.json").write_text(json.dumps(pages, indent=2) + "\n")
        common = self.ap[self.is_common] if self.is_common.any() else self.ap
        shown = {
            "place": self.place,
            "n_traits": len(common.dropna(how="all")),
            "are_common": bool(self.is_common.any()),
            "highlights": [highlights[trait] for trait in self.picked],
        }
        (folder / "highlights.json").write_text(json.dumps(shown) + "\n")

    @cached_property
    def examples(self) -> list[Examples]:
        """Training images with and without each trait."""
        drawn_NT = self.traits.known_NT & self.traits.is_train_N[:, None]
        return [
            draw_examples(self.traits.labels_NT[:, t], drawn_NT[:, t], self.n_images)
            for t in range(len(self.traits.trait_names))
        ]

    @cached_property
    def panels_of(self) -> dict[int, list[tuple[Panel, Float32[np.ndarray, "_ p"]]]]:
        """The panels of each trait, with the scores of patches."""
        panels: dict[int, list] = {}
        for panel, scores_MP in zip(self.panels, self.heat, strict=True):
            panels.setdefault(panel.t, []).append((panel, scores_MP))
        return panels

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """The rows of `facts.intervals` about the finders, by method and trait."""
        rows = self.facts.intervals
        own = [
            rows[
                (rows["method"] == finder.method)
                & (rows["n_prototypes"] == finder.n_prototypes)
                & (rows["n_train"] == finder.n_train)
            ]
            for finder in self.finders
        ]
        return pd.concat(own).set_index(["method", "trait"])

    @cached_property
    def ap(self) -> pd.DataFrame:
        """The AP of each trait, a row, and finder, a column: mean over the seeds."""
        columns = {}
        for finder in self.finders:
            # Where no prototype could be chosen, the AP is chance: no result.
            chosen = finder.chosen.index[finder.chosen["prototype"].notna()]
            columns[finder.method] = self.intervals.loc[finder.method]["ap"].reindex(
                chosen
            )
        return pd.DataFrame(columns).reindex(self.traits.trait_names)

    @cached_property
    def ceiling(self) -> pd.Series:
        """The AP of the supervised probe on the most training images, by trait."""
        rows = self.facts.ceiling
        largest = rows[rows["n_train"] == rows["n_train"].max()]
        return largest.set_index("trait")["ceiling"].reindex(self.traits.trait_names)

    @cached_property
    def is_common(self) -> pd.Series:
        """Whether enough classes of test images show a trait for an interval."""
        has_interval = self.intervals["low"].notna().groupby(level="trait").any()
        return has_interval.reindex(self.traits.trait_names, fill_value=False)

    @cached_property
    def picked(self) -> dict[str, Pick]:
        """The traits that the study's page shows, in order."""
        picks = pick_highlights(
            self.ap,
            pd.Series(self.traits.chance_T, self.traits.trait_names),
            self.ceiling,
            self.is_common,
            {finder.method: finder.n_prototypes for finder in self.finders},
            self.looks,
        )
        return {pick.trait: pick for pick in picks}

    def _make_page(self, t: int, gallery: Gallery, files: Sequence[str]) -> TraitPage:
        trait = self.traits.trait_names[t]
        shows_N = self.traits.labels_NT[:, t]
        counts = count_trait(self.traits, t)
        panels = self.panels_of.get(t, [])
        ranked_N = self.traits.known_NT[:, t] & ~self.traits.is_train_N
        shown = {finder.method: finder.n_prototypes for finder in self.finders}
        unselected = [f.method for f in self.finders if f.prototype_of(trait) is None]
        table, others = tabulate_trait(
            self.facts, trait, shown, unselected, counts["train"].n_shows
        )
        return TraitPage(
            trait,
            self.dataset,
            self.place,
            counts,
            table,
            others,
            float(self.traits.chance_T[t]),
            self._draw(t) if panels else None,
            show_examples(self.examples[t], shows_N, gallery),
            [
                show_panel(
                    *(panel, self.finders[panel.i_finder], trait, shows_N),
                    *(scores_MP, counts["test"], ranked_N),
                    *(self._find_same(panel, files), gallery),
                )
                for panel, scores_MP in panels
            ],
            unselected,
            Neighbours(
                files[t - 1] if t > 0 else None,
                files[t + 1] if t + 1 < len(files) else None,
            ),
            self.looks.controls,
        )

    @cached_property
    def traits_of(self) -> dict[tuple[int, int], list[int]]:
        """The traits that each prototype of a finder was chosen for."""
        traits: dict[tuple[int, int], list[int]] = {}
        for panel in self.panels:
            traits.setdefault((panel.i_finder, panel.prototype), []).append(panel.t)
        return traits

    def _find_same(self, panel: Panel, files: Sequence[str]) -> list[TraitLink]:
        """Links to the other traits that a prototype was chosen for."""
        return [
            TraitLink(self.traits.trait_names[t], files[t])
            for t in self.traits_of[panel.i_finder, panel.prototype]
            if t != panel.t
        ]

    def _draw(self, t: int) -> str:
        """The precision–recall curves of a trait."""
        ranked_N = self.traits.known_NT[:, t] & ~self.traits.is_train_N
        shows_M = self.traits.labels_NT[ranked_N, t]
        curves, ap = {}, {}
        for panel, _ in self.panels_of[t]:
            finder = self.finders[panel.i_finder]
            scores_M = finder.scores_NT[ranked_N, t]
            curves[finder.method] = precision_recall(scores_M, shows_M)
            ap[finder.method] = finder.chosen["test_ap"].iloc[t]
        return to_svg(
            draw_curves(curves, ap, float(shows_M.mean()), self.looks.styles())
        )

    def _make_row(
        self, t: int, file: str, page: TraitPage, gallery: Gallery
    ) -> TraitRow:
        ap = self.ap.iloc[t].tolist()
        of_best = [
            panel.picks.highest[:N_INDEXED]
            for panel, _ in self.panels_of.get(t, [])
            if panel.i_finder == find_best(ap)
        ]
        return TraitRow(
            page.trait,
            file,
            page.counts["test"],
            page.chance,
            ap,
            float(self.ceiling.iloc[t]),
            [gallery.thumbnails[image] for images in of_best for image in images],
        )

    def _make_highlight(self, page: TraitPage, file: str) -> dict[str, Any]:
        return show_highlight(
            self.picked[page.trait],
            page,
            file,
            self.intervals.xs(page.trait, level="trait"),
            float(self.ceiling[page.trait]),
        )

    def tabulate_images(self) -> pd.DataFrame:
        """A row for each image in a strip: what it shows, and its score."""
        return pd.DataFrame(self._list_images(), columns=IMAGE_COLUMNS)

    def _list_images(self) -> Iterator[tuple]:
        for panel in self.panels:
            finder = self.finders[panel.i_finder]
            trait = self.traits.trait_names[panel.t]
            run = (trait, finder.method, finder.fit.name, panel.prototype)
            for strip, images in panel.picks._asdict().items():
                for rank, image in enumerate(images, 1):
                    yield (
                        *run,
                        *(strip, rank, self.traits.image_ids[image]),
                        int(self.traits.labels_NT[image, panel.t]),
                        float(finder.scores_NT[image, panel.t]),
                    )


IMAGE_COLUMNS = [
    *("trait", "method", "run", "prototype"),
    *("strip", "rank", "image_id", "shows", "score"),
]
"""Columns of `shown_images.csv`: one row for each image in a strip of a prototype."""
