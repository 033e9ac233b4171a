"""Which files of a data set each stage reads; none of those that the project draws.

Their content counts, wherever they lie. A file that is not there does not count: the
graph of a study shows without data.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitproto.data import ade20k_layout, cub200_layout
from vitproto.study.raw_files import Contents, Files, Images, Names, RawFiles

Dataset = Mapping[str, Any]

_ADE20K_FOLDERS = ("images", "annotations")


def of_list(name: str, dataset: Dataset) -> list[RawFiles]:
    """What the list of a data set's images, and their splits, are made of.

    Args:
        name: what the configuration calls the data set.
        dataset: its section there.
    """
    if "draw" in dataset:
        return []
    root = Path(dataset["root"])
    if dataset["layout"] == "image_folder":
        return [Names(f"the names in {name}", root)]
    if dataset["layout"] == "cub200":
        return _cub200_files(name, root, "images.txt", "train_test_split.txt")
    top = _ade20k_top(root)
    if top is None:
        return []
    folders = [
        Names(f"the names in {name}/{part}", top / part) for part in _ADE20K_FOLDERS
    ]
    scenes = ("sceneCategories.txt of " + name, top / "sceneCategories.txt")
    return [*folders, Files((scenes,))]


def of_traits(name: str, dataset: Dataset) -> list[RawFiles]:
    """What the trait labels of a data set in the layout of CUB-200-2011 are made of."""
    if "draw" in dataset:
        return []
    root = Path(dataset["root"])
    labels = "attributes/image_attribute_labels.txt"
    texts = _cub200_files(name, root, "images.txt", labels)
    try:
        file = cub200_layout.find_attributes(cub200_layout.find_layout(root).metadata)
    except ValueError:
        return texts
    return [*texts, Files(((f"{file.name} of {name}", file),))]


def of_patch_labels(name: str, dataset: Dataset) -> list[RawFiles]:
    """What the patch labels of a data set in the layout of ADE20K are made of."""
    top = None if "draw" in dataset else _ade20k_top(Path(dataset["root"]))
    if top is None:
        return []
    parts: list[RawFiles] = [Contents(f"the masks of {name}", top / "annotations")]
    try:
        classes = ade20k_layout.find_object_info(top)
    except ValueError:
        return parts
    return [*parts, Files(((f"{classes.name} of {name}", classes),))]


def of_shard(
    name: str, dataset: Dataset, images: Path, i_shard: int, n_shards: int
) -> list[RawFiles]:
    """The images of a shard.

    Args:
        name: what the configuration calls the data set.
        dataset: its section there.
        images: the list of its images.
        i_shard: which shard, counted from 0.
        n_shards: how many there are.
    """
    if "draw" in dataset:
        return []
    what = f"an image of {name}"
    return [Images(what, Path(dataset["root"]), images, i_shard, n_shards)]


def _cub200_files(name: str, root: Path, *files: str) -> list[RawFiles]:
    try:
        metadata = cub200_layout.find_layout(root).metadata
    except ValueError:
        return []
    return [Files(tuple((f"{f} of {name}", metadata / f) for f in files))]


def _ade20k_top(root: Path) -> Path | None:
    try:
        return ade20k_layout.find_root(root)
    except ValueError:
        return None
