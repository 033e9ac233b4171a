"""Show the images and patches that drive the prototypes of a run."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.folders import whole_folder
from vitproto.data.data_root import check_root
from vitproto.data.image_list import check_same_images, read_image_list
from vitproto.features.choice import Choice, choose
from vitproto.features.feature import to_feature, to_image
from vitproto.features.page import Place, describe_ranges, render_page
from vitproto.features.top_images import find_top_images, score_patches
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.pictures.image_sheet import color_range, draw_strip, read_shown
from vitproto.prototypes import checkpoint
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.study.family import FittedFamily


def show_features(
    root: Path,
    images: Path,
    shards: tuple[Path, ...],
    checkpoints: Path,
    features: Path,
    *,
    fit_dataset: str,
    n_images: int,
    device: str,
    place: Place,
    cfg: Choice,
) -> None:
    """Show, for some prototypes of a run, the images with the highest scores.

    Writes a page, index.html, with a picture for each prototype, NNNNN.png, and
    features.json, which holds all the numbers.

    Args:
        root: the folder of the data set.
        images: its image list.
        shards: all shards of its activations.
        checkpoints: the JSON file that lists the checkpoints of the run's family.
        features: the folder to create.
        fit_dataset: the data set that the prototypes were fitted to.
        n_images: how many images to show for each prototype.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
        place: where the prototypes come from.
        cfg: which prototypes are shown.
    """
    check_root(root, place.dataset)
    torch_device = pick_device(device)
    listed = read_image_list(images)
    image_ids, paths = listed["image_id"].tolist(), listed["path"].tolist()
    acts = Activations.open(shards, place.layer)
    check_same_images(acts.image_ids, str(shards[0]), image_ids, str(images))
    preprocessing = Preprocessing.from_json(str(acts.attributes["preprocessing"]))
    grid = preprocessing.grid(acts.n_patches)
    family = FittedFamily(fit_dataset, place.encoder, place.layer, place.method)
    fit = checkpoint.find_run(checkpoints, family, place.run)
    check_fitted_to(fit.path, acts, shards[0])
    scorer = checkpoint.load(fit.path)
    if scorer.width != acts.width:
        raise ValueError(
            f"{fit.path} scores activations of width {scorer.width}, but those in "
            f"{shards[0]} have {acts.width}: fit and show with the same encoder"
        )
    top = find_top_images(acts, scorer, n_images, torch_device)
    chosen = choose(cfg, top)
    shown_prototypes, widths = [], {}
    with whole_folder(features) as partial:
        for prototype in chosen.reasons:
            i_images = top.images_of(prototype)
            pairs = [(i_image, prototype) for i_image in i_images]
            scores_MP = score_patches(acts, scorer, pairs, torch_device)
            found = list(zip(i_images, scores_MP, strict=True))
            shown = [
                to_image(image_ids[i], paths[i], scores_P.reshape(grid))
                for i, scores_P in found
            ]
            shown_prototypes.append(to_feature(prototype, chosen, top, shown))
            if found:
                drawn = [
                    read_shown(root / paths[i], scores_P, preprocessing)
                    for i, scores_P in found
                ]
                strip = draw_strip(drawn, *color_range(scores_MP))
                strip.save(partial / shown_prototypes[-1].picture)
                widths[prototype] = strip.width
        page = render_page(shown_prototypes, widths, place, cfg, top, chosen.n_in_range)
        (partial / "index.html").write_text(page, encoding="utf-8")
        numbers = {
            **asdict(place),
            "checkpoint_sha256": fit.sha256,
            "activations": acts.attributes,
            "code": fingerprint("show_features"),
            "settings": {"n_images": n_images, **asdict(cfg)},
            "n_prototypes": scorer.n_prototypes,
            "n_alive": int(top.is_alive_K.sum()),
            "n_in_range": chosen.n_in_range,
            "prototypes": [asdict(feature) for feature in shown_prototypes],
        }
        (partial / "features.json").write_text(json.dumps(numbers) + "\n")
    logging.info(
        "%s: %d prototypes shown", features / "index.html", len(shown_prototypes)
    )
    logging.info(describe_ranges(cfg, top, chosen.n_in_range))


if __name__ == "__main__":
    run(show_features)
