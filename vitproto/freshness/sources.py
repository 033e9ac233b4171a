"""Which files of a data set each stage reads; none of those that the project draws.

Their content counts, wherever they lie. What is not here at all is not compared: the
graph of a study shows without data.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitproto.activations.fetched import HUB, RANDOM
from vitproto.data import ade20k_layout, cub200_layout
from vitproto.freshness.raw_files import (
    Absent,
    Contents,
    Files,
    Images,
    Names,
    Places,
    RawFiles,
)

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
    if not _is_here(root):
        return [_absent(name, dataset)]
    if dataset["layout"] == "image_folder":
        return [Names(f"the names in {name}", root)]
    # Lists hold paths below the root.
    where = f"where the images of {name} lie in its root"
    if dataset["layout"] == "cub200":
        texts = _cub200_files(name, root, "images.txt", "train_test_split.txt")
        if not texts:
            return []
        images = cub200_layout.find_layout(root).images
        return [*texts, Places(where, root, tuple(images.values()))]
    top = _ade20k_top(root)
    if top is None:
        return []
    folders = [
        Names(f"the names in {name}/{part}", top / part) for part in _ADE20K_FOLDERS
    ]
    scenes = ("sceneCategories.txt of " + name, top / "sceneCategories.txt")
    return [*folders, Files((scenes,)), Places(where, root, (top,))]


def of_traits(name: str, dataset: Dataset) -> list[RawFiles]:
    """What the trait labels of a data set in the layout of CUB-200-2011 are made of."""
    if "draw" in dataset:
        return []
    root = Path(dataset["root"])
    if not _is_here(root):
        return [_absent(name, dataset)]
    labels = "attributes/image_attribute_labels.txt"
    texts = _cub200_files(name, root, "images.txt", labels)
    try:
        file = cub200_layout.find_attributes(cub200_layout.find_layout(root).metadata)
    except ValueError:
        return texts
    return [*texts, Files(((f"{file.name} of {name}", file),))]


def of_patch_labels(name: str, dataset: Dataset) -> list[RawFiles]:
    """What the patch labels of a data set in the layout of ADE20K are made of."""
    if "draw" in dataset:
        return []
    root = Path(dataset["root"])
    if not _is_here(root):
        return [_absent(name, dataset)]
    top = _ade20k_top(root)
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
    what, root = f"an image of {name}", Path(dataset["root"])
    found: list[RawFiles] = [Images(what, root, images, i_shard, n_shards)]
    return found if _is_here(root) else [*found, _absent(name, dataset)]


def of_encoder(name: str, encoder: Mapping[str, Any]) -> list[RawFiles]:
    """The files of an encoder that are not here, so that no rule can list them.

    Args:
        name: what the configuration calls the encoder.
        encoder: its section there.
    """
    model, checkpoint = encoder["model"], encoder["checkpoint"]
    missing: list[RawFiles] = []
    if model.startswith("local-dir:"):
        folder = model.removeprefix("local-dir:")
        if not files_of_encoder(Path(folder)):
            missing.append(Absent(f"the encoder {name} (model: {model})"))
    if checkpoint not in (HUB, RANDOM) and not Path(checkpoint).is_file():
        what = f"the weights of {name} (checkpoint: {checkpoint})"
        missing.append(Absent(what, Path(checkpoint).name))
    return missing


def files_of_encoder(folder: Path) -> list[Path]:
    """What open_clip may read of the folder of `local-dir:`, sorted.

    That is its configuration, and weights by suffix, whatever they are called.
    """
    suffixes = {".safetensors", ".bin", ".pth"}
    return sorted(
        file
        for file in folder.glob("*")
        if file.name.startswith("open_clip_") or file.suffix in suffixes
    )


def of_imported(name: str, file: Path) -> list[RawFiles]:
    """The file of an imported method, if it is not here."""
    if file.is_file():
        return []
    return [Absent(f"the autoencoder {name} (imported: {file})", file.name)]


def _absent(name: str, dataset: Dataset) -> Absent:
    return Absent(f"the data set {name} (root: {dataset['root']})")


def _is_here(root: Path) -> bool:
    """Is there a data set? A disk that is not mounted leaves an empty folder."""
    return root.is_dir() and any(root.iterdir())


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
