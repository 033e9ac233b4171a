"""Show, for each trait, the images that its prototypes find and miss."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.folders import whole_folder
from vitproto.data.data_root import check_root
from vitproto.data.image_list import read_splits
from vitproto.features.shown import open_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.fitted_to import load_scorer
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.traits.answer import Place
from vitproto.report.traits.map_table import read_map_csv
from vitproto.report.traits.pages.finders import FamilyFiles, read_finders
from vitproto.report.traits.pages.panels import make_panels, score_panels
from vitproto.report.traits.pages.trait_facts import read_layer_facts
from vitproto.report.traits.pages.write_pages import TraitPages
from vitproto.traits.trait_split import read_trait_split


def show_traits(
    root: Path,
    images: Path,
    splits: Path,
    traits: Path,
    shards: tuple[Path, ...],
    map_table: Path,
    trait_intervals: Path,
    ceiling: Path,
    families: FamilyFiles,
    pages: Path,
    *,
    dataset: str,
    place: Place,
    looks: StudyMethods,
    n_images: int,
) -> None:
    """Write a page for each trait, and a list of them that can be searched.

    Writes index.html, a page for each trait, images/ with thumbnails, pages.json, which
    names the page of each trait, and shown_images.csv with all that the pages show.

    Args:
        root: The folder of the data set.
        images: Its image list.
        splits: The CSV file with the splits and classes of its images.
        traits: The NPZ file that says which image shows which trait.
        shards: All shards of its activations.
        map_table: The CSV file of tabulate_map.py.
        trait_intervals: The trait_intervals.csv of the layer.
        ceiling: The ceiling.csv of the layer.
        families: The files of all families in the layer.
        pages: The folder to create.
        dataset: The name of the data set.
        place: The layer whose prototypes are shown.
        looks: The methods of the study, which decide what each looks like.
        n_images: Most images in a row of images.
    """
    check_root(root, dataset)
    split = read_trait_split(splits, traits)
    acts = Activations.open(shards, place.layer)
    source = open_images(root, images, acts, shards[0])
    table = place.keep(read_map_csv(map_table))
    facts = read_layer_facts(table, trait_intervals, ceiling)
    finders = read_finders(families, table, split.trait_names, split.image_ids)
    scorers = [load_scorer(finder.fit, acts, shards[0]) for finder in finders]
    panels = list(make_panels(finders, split, n_images))
    made = TraitPages(
        *(dataset, str(place), split, read_splits(splits)["class_name"].tolist()),
        *(finders, facts, panels, score_panels(panels, scorers, source), source),
        *(n_images, looks),
    )
    with whole_folder(pages) as partial:
        made.write(partial)
        note = {
            **{"dataset": dataset, **asdict(place), "n_images": n_images},
            "checkpoints": {finder.method: finder.fit.sha256 for finder in finders},
            "code": fingerprint("show_traits"),
        }
        (partial / "traits.json").write_text(json.dumps(note, indent=2) + "\n")
    logging.info("%s: %d traits", pages / "index.html", len(split.trait_names))


if __name__ == "__main__":
    run(show_traits)
