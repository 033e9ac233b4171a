"""List the files of data sets and encoders that each stage reads.

Files count by content, wherever they lie. Data sets that the project draws are made by
jobs, so they have none. Data sets and encoders that are not here are not compared: the
graph of a study needs no data.
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
    """The files from which the lists of a data set's images and splits are made.

    Args:
        name: the name of the data set in the configuration.
        dataset: its section there.
    """
    if "draw" in dataset:
        return []
    root = Path(dataset["root"])
    if not _is_here(root):
        return [_absent(name, dataset)]
    if dataset["layout"] == "image_folder":
        return [Names(f"the names in {name}", root)]
    if dataset["layout"] == "table":
        return [_table(name, dataset)]
    # Lists hold paths below the root.
    where = f"where the images of {name} lie in its root"
    if dataset["layout"] == "cub200":
        layout = _cub200_layout(root)
        if layout is None:
            return []
        texts = _texts(name, layout.metadata, "images.txt", "train_test_split.txt")
        return [texts, Places(where, root, tuple(layout.images.values()))]
    top = _ade20k_top(root)
    if top is None:
        return []
    folders = [
        Names(f"the names in {name}/{part}", top / part) for part in _ADE20K_FOLDERS
    ]
    scenes = ("sceneCategories.txt of " + name, top / "sceneCategories.txt")
    return [*folders, Files((scenes,)), Places(where, root, (top,))]


def of_traits(name: str, dataset: Dataset) -> list[RawFiles]:
    """The files with the trait labels of a data set."""
    if "draw" in dataset:
        return []
    root = Path(dataset["root"])
    if not _is_here(root):
        return [_absent(name, dataset)]
    if dataset["layout"] == "table":
        return [_table(name, dataset)]
    layout = _cub200_layout(root)
    if layout is None:
        return []
    labels = "attributes/image_attribute_labels.txt"
    texts = _texts(name, layout.metadata, "images.txt", labels)
    try:
        file = cub200_layout.find_attributes(layout.metadata)
    except ValueError:
        return [texts]
    return [texts, Files(((f"{file.name} of {name}", file),))]


def of_patch_labels(name: str, dataset: Dataset) -> list[RawFiles]:
    """The files from which patch labels of a data set in ADE20K's layout are made."""
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
        name: the name of the data set in the configuration.
        dataset: its section there.
        images: the list of its images.
        i_shard: the number of the shard, from 0.
        n_shards: the number of shards.
    """
    if "draw" in dataset:
        return []
    what, root = f"an image of {name}", Path(dataset["root"])
    shard = Images(what, root, images, i_shard, n_shards)
    return [shard] if _is_here(root) else [shard, _absent(name, dataset)]


def of_encoder(name: str, encoder: Mapping[str, Any]) -> list[RawFiles]:
    """The files of an encoder that are not here, which no rule can list.

    Args:
        name: the name of the encoder in the configuration.
        encoder: its section there.
    """
    model, weights = encoder["model"], encoder["weights"]
    missing: list[RawFiles] = []
    if model.startswith("local-dir:"):
        folder = model.removeprefix("local-dir:")
        if not files_of_encoder(Path(folder)):
            missing.append(Absent(f"the encoder {name} (model: {model})"))
    if weights not in (HUB, RANDOM) and not Path(weights).is_file():
        what = f"the weights of {name} (weights: {weights})"
        missing.append(Absent(what, Path(weights).name))
    return missing


def files_of_encoder(folder: Path) -> list[Path]:
    """The files that open_clip may read in the folder of `local-dir:`, sorted.

    These are its configuration, and weights of any name, recognised by suffix.
    """
    suffixes = {".safetensors", ".bin", ".pth"}
    return sorted(
        file
        for file in folder.glob("*")
        if file.name.startswith("open_clip_") or file.suffix in suffixes
    )


def of_imported(name: str, files: Mapping[str, Path]) -> list[RawFiles]:
    """The files of an imported method that are not here.

    Args:
        name: the name of the method in the configuration.
        files: its files, by the key that names each.
    """
    return [
        Absent(f"the imported {name} ({key}: {file})", file.name)
        for key, file in files.items()
        if not file.is_file()
    ]


def _absent(name: str, dataset: Dataset) -> Absent:
    return Absent(f"the data set {name} (root: {dataset['root']})")


def _is_here(root: Path) -> bool:
    """Whether a data set is here; the folder of an unmounted disk is empty."""
    return root.is_dir() and any(root.iterdir())


def _table(name: str, dataset: Dataset) -> Files:
    """The CSV file with the traits of a data set."""
    return Files(((f"the table of {name}", Path(dataset["table"]["file"])),))


def _cub200_layout(root: Path) -> cub200_layout.Cub200Layout | None:
    try:
        return cub200_layout.find_layout(root)
    except ValueError:
        return None


def _texts(name: str, folder: Path, *files: str) -> Files:
    return Files(tuple((f"{file} of {name}", folder / file) for file in files))


def _ade20k_top(root: Path) -> Path | None:
    try:
        return ade20k_layout.find_root(root)
    except ValueError:
        return None
