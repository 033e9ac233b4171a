"""Show the images and patches that score highest for the prototypes of a run."""

import json
import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.folders import whole_folder
from vitproto.data.data_root import check_root
from vitproto.features.choice import Choice, choose
from vitproto.features.page import Place, describe_ranges, write_page
from vitproto.features.shown import open_images, show_prototypes, to_numbers
from vitproto.features.top_images import find_top_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import find_run
from vitproto.prototypes.fitted_to import load_scorer
from vitproto.report.shared.links import link_to
from vitproto.report.traits.prototype_roles import RoleFiles


def show_features(
    root: Path,
    images: Path,
    shards: tuple[Path, ...],
    checkpoints: Path,
    roles: RoleFiles,
    features: Path,
    *,
    n_images: int,
    device: str,
    home: Path,
    runs: tuple[str, ...],
    place: Place,
    cfg: Choice,
) -> None:
    """Show, for some prototypes of a run, the images with the highest scores.

    Writes index.html, with thumbnails, and features.json with all the numbers.

    Args:
        root: The folder of the data set.
        images: Its image list.
        shards: All shards of its activations.
        checkpoints: The JSON file that lists the checkpoints of the run's family.
        roles: The files that say for which traits prototypes were chosen.
        features: The folder to create.
        n_images: Number of images to show for each prototype.
        device: The device: auto (a GPU if there is one), cpu, cuda or cuda:1.
        home: The folder of the study, to link to.
        runs: The names of all runs of the family whose scores are given.
        place: The run that the prototypes belong to.
        cfg: The prototypes to show.
    """
    check_root(root, place.dataset)
    torch_device = pick_device(device)
    acts = Activations.open(shards, place.layer)
    source = open_images(root, images, acts, shards[0])
    fit = find_run(checkpoints, place.family, place.run)
    scorer = load_scorer(fit, acts, shards[0])
    top = find_top_images(acts, scorer, n_images, torch_device)
    chosen = choose(cfg, top)
    page = features / "index.html"
    found = roles.read(runs, place, chosen.reasons, page, home)
    shown = show_prototypes(chosen, top, found.roles, scorer, source, torch_device)
    with whole_folder(features) as partial:
        address = link_to(home / "index.html", page)
        on_page = (shown, found.class_names, source, address, place, cfg, top)
        write_page(partial, *on_page, chosen.n_in_range)
        numbers = {"checkpoint_sha256": fit.sha256, "activations": acts.attributes}
        numbers |= to_numbers(shown, n_images, cfg, chosen, top)
        numbers |= {"code": fingerprint("show_features"), **vars(place)}
        (partial / "features.json").write_text(json.dumps(numbers) + "\n")
    logging.info("%s: %d prototypes shown", features / "index.html", len(shown))
    logging.info(describe_ranges(cfg, top, chosen.n_in_range))


if __name__ == "__main__":
    run(show_features)
