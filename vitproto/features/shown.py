"""Show prototypes with the images that drive them most and least."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.data.image_list import check_same_images, read_image_list
from vitproto.features.choice import Choice, Chosen
from vitproto.features.feature import (
    NO_ROLE,
    Feature,
    Role,
    ShownImage,
    to_feature,
    to_image,
)
from vitproto.features.top_images import TopImages, Wanted, score_patches
from vitproto.pictures.overlay import save_thumbnail
from vitproto.pictures.strip import Thumbnail
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


class Gallery(NamedTuple):
    """What images of the page are made of."""

    thumbnails: Mapping[str, Thumbnail]
    """By the id of the image."""
    class_names: Mapping[str, str]
    """By the id of the image; none if images have no classes."""
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


def show_prototypes(
    chosen: Chosen,
    top: TopImages,
    roles: Mapping[int, Role],
    scorer: Scorer,
    source: ShownImages,
    device: torch.device,
) -> list[Feature]:
    """Score the patches of the images of all chosen prototypes, in one pass over them.

    Args:
        chosen: why each prototype is shown.
        top: the images that score highest and lowest for each prototype.
        roles: what a study of traits found out about prototypes, if anything did.
        scorer: the prototypes.
        source: where the images come from.
        device: where patches are scored.

    Returns:
        What is known of each prototype; a dead one has no images.
    """
    images_of = {
        prototype: (top.images_of(prototype), top.lowest_images_of(prototype))
        for prototype in chosen.reasons
    }
    wanted = [
        Wanted(i_image, prototype)
        for prototype, (highest, lowest) in images_of.items()
        for i_image in (*highest, *lowest)
    ]
    with progress_bar(len({place.i_image for place in wanted}), "images") as progress:
        scores_MP = score_patches(source.acts, [scorer], wanted, device, progress)
    grid = source.preprocessing.grid(source.acts.n_patches)
    scored = iter(scores_MP)

    def show(i_image: int, best: Callable[[np.ndarray], np.floating]) -> ShownImage:
        scores_P = next(scored)
        image_id, path = source.acts.image_ids[i_image], source.paths[i_image]
        return to_image(image_id, path, scores_P.reshape(grid), float(best(scores_P)))

    return [
        to_feature(
            *(prototype, chosen, top),
            [show(i_image, np.max) for i_image in highest],
            [show(i_image, np.min) for i_image in lowest],
            roles.get(prototype, NO_ROLE),
        )
        for prototype, (highest, lowest) in images_of.items()
    ]


def write_gallery(
    features: Sequence[Feature],
    class_names: Mapping[str, str],
    source: ShownImages,
    folder: Path,
) -> Gallery:
    """Write thumbnails of all images of some prototypes, below a folder.

    Args:
        features: the prototypes.
        class_names: the class of each image, by its id.
        source: where the images come from.
        folder: an existing folder.
    """
    shown = {i.image_id for f in features for i in (*f.images, *f.lowest)}
    indices = [i for i, name in enumerate(source.acts.image_ids) if name in shown]
    (folder / "images").mkdir()
    thumbnails = write_thumbnails(indices, source, folder / "images")
    by_id = {source.acts.image_ids[i]: small for i, small in thumbnails.items()}
    return Gallery(by_id, class_names, source.preprocessing)


def write_thumbnails(
    images: Sequence[int], source: ShownImages, folder: Path
) -> dict[int, Thumbnail]:
    """Write a thumbnail of each image, once.

    Args:
        images: indices of images.
        source: where they come from.
        folder: an existing folder.
    """
    thumbnails = {}
    with progress_bar(len(images), "thumbnails") as progress:
        for i_image in images:
            path = source.root / source.paths[i_image]
            whole = source.preprocessing.read_whole(path)
            name = f"{i_image:06d}.jpg"
            thumbnails[i_image] = save_thumbnail(whole, folder / name)
            progress.update()
    return thumbnails


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
