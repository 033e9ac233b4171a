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
from vitproto.report.traits.pages.finders import FamilyFiles, read_finders
from vitproto.report.traits.pages.panels import make_panels, score_panels
from vitproto.report.traits.pages.trait_facts import LayerFiles, read_layer_facts
from vitproto.report.traits.pages.write_pages import TraitPages
from vitproto.traits.trait_split import read_trait_split


def show_traits(
    root: Path,
    images: Path,
    splits: Path,
    traits: Path,
    shards: tuple[Path, ...],
    layer: LayerFiles,
    families: FamilyFiles,
    trait_pages: Path,
    *,
    dataset: str,
    place: Place,
    looks: StudyMethods,
    n_images: int,
) -> None:
    """Write a page for each trait, and index.html, a list that can be searched.

    Args:
        root: The folder of the data set.
        images: Its image list.
        splits: The CSV file with the splits and classes of its images.
        traits: The NPZ file that says which image shows which trait.
        shards: All shards of its activations.
        layer: The files of the layer.
        families: The files of all families in the layer.
        trait_pages: The folder to create.
        dataset: The name of the data set.
        place: The layer whose prototypes are shown.
        looks: The methods of the study.
        n_images: Most images in a row of images.
    """
    check_root(root, dataset)
    split = read_trait_split(splits, traits)
    acts = Activations.open(shards, place.layer)
    source = open_images(root, images, acts, shards[0])
    facts = read_layer_facts(layer, place)
    finders = read_finders(families, facts.table, split.trait_names, split.image_ids)
    scorers = [load_scorer(finder.fit, acts, shards[0]) for finder in finders]
    panels = list(make_panels(finders, split, n_images))
    made = TraitPages(
        *(dataset, str(place), split, read_splits(splits)["class_name"].tolist()),
        *(finders, facts, panels, score_panels(panels, scorers, source), source),
        *(n_images, looks),
    )
    with whole_folder(trait_pages) as partial:
        made.write(partial)
        fits = {finder.method: finder.fit.sha256 for finder in finders}
        note = {"dataset": dataset, **asdict(place), "n_images": n_images}
        note |= {"checkpoints": fits, "code": fingerprint("show_traits")}
        (partial / "traits.json").write_text(json.dumps(note, indent=2) + "\n")
    logging.info("%s: %d traits", trait_pages, len(split.trait_names))


if __name__ == "__main__":
    run(show_traits)
