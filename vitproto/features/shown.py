"""Show a prototype with the images that drive it most."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.stream import Activations
from vitproto.data.image_list import check_same_images, read_image_list
from vitproto.features.choice import Choice, Chosen
from vitproto.features.feature import Feature, to_feature, to_image
from vitproto.features.top_images import TopImages, Wanted, score_patches
from vitproto.pictures.image_sheet import color_range, draw_strip, read_shown
from vitproto.prototypes.scorer import Scorer


@dataclass(frozen=True)
class ShownImages:
    """Images that may be shown, with their activations.

    Attributes:
        root: the folder of the data set.
        paths: relative to `root`, in the order of `acts`.
        acts: the activations.
        preprocessing: how the encoder saw the images.
    """

    root: Path
    paths: list[str]
    acts: Activations
    preprocessing: Preprocessing


def open_images(
    root: Path, images: Path, acts: Activations, shard: Path
) -> ShownImages:
    """Find the images of some activations.

    Args:
        root: the folder of the data set.
        images: its image list.
        acts: its activations.
        shard: a file of these, for messages.

    Raises:
        ValueError: the activations are of other images than those listed.
    """
    listed = read_image_list(images)
    image_ids = listed["image_id"].tolist()
    check_same_images(acts.image_ids, str(shard), image_ids, str(images))
    preprocessing = Preprocessing.from_json(str(acts.attributes["preprocessing"]))
    return ShownImages(root, listed["path"].tolist(), acts, preprocessing)


def show_prototype(
    prototype: int,
    chosen: Chosen,
    top: TopImages,
    scorer: Scorer,
    source: ShownImages,
    device: torch.device,
    folder: Path,
) -> tuple[Feature, int]:
    """Draw the images that score highest, with heat-maps of their patches.

    Args:
        prototype: counted from 0.
        chosen: why each prototype is shown.
        top: the images that score highest for each prototype.
        scorer: the prototypes.
        source: where the images come from.
        device: where patches are scored.
        folder: where the picture goes; a dead prototype has none.

    Returns:
        What is known of the prototype, and the width of its picture, 0 without one.
    """
    i_images = top.images_of(prototype)
    wanted = [Wanted(i_image, prototype) for i_image in i_images]
    scores_MP = score_patches(source.acts, [scorer], wanted, device)
    grid = source.preprocessing.grid(source.acts.n_patches)
    shown, drawn = [], []
    for i, scores_P in zip(i_images, scores_MP, strict=True):
        path = source.paths[i]
        shown.append(to_image(source.acts.image_ids[i], path, scores_P.reshape(grid)))
        drawn.append(read_shown(source.root / path, scores_P, source.preprocessing))
    feature = to_feature(prototype, chosen, top, shown)
    if not drawn:
        return feature, 0
    strip = draw_strip(drawn, *color_range(scores_MP))
    strip.save(folder / feature.picture)
    return feature, strip.width


def to_numbers(
    features: Sequence[Feature],
    n_images: int,
    cfg: Choice,
    chosen: Chosen,
    top: TopImages,
) -> dict[str, Any]:
    """Collect all numbers of the page, for programs."""
    return {
        "settings": {"n_images": n_images, **asdict(cfg)},
        "n_prototypes": len(top.lowest_K),
        "n_alive": int(top.is_alive_K.sum()),
        "n_in_range": chosen.n_in_range,
        "prototypes": [asdict(feature) for feature in features],
    }
