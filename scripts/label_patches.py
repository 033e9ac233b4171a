"""Label the patches that an encoder saw with the classes of the masks."""

import logging
from functools import partial
from pathlib import Path

import numpy as np

from vitproto.activations.ahead import ahead
from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.data.ade20k import mask_path, read_classes
from vitproto.data.data_root import check_root
from vitproto.data.image_list import (
    SPLITS,
    check_same_images,
    read_image_list,
    read_splits,
)
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.masks import check_size, read_mask
from vitproto.segmentation.labels.patch_labels import (
    PatchLabels,
    label_window,
    whole_patches,
    write_patch_labels,
)


def label_patches(
    root: Path,
    images: Path,
    splits: Path,
    shards: tuple[Path, ...],
    layer: int,
    patch_labels: Path,
    *,
    dataset: str,
    n_workers: int,
) -> None:
    """Write which class each recorded patch shows, and the masks of test images.

    Masks take the geometry in which the encoder saw the images. A patch has the most
    frequent label of its pixels.

    Args:
        root: the folder of the data set, in ADE20K's layout.
        images: its image list, of list_ade20k.py.
        splits: the CSV file with the splits of its images, of the same stage.
        shards: all shards of its activations; they say how the encoder saw images.
        layer: any that they hold, counted from 0.
        patch_labels: the HDF5 file to write; `h5ls -v` shows how it was made.
        dataset: its name in the configuration, for messages.
        n_workers: threads that decode masks.
    """
    check_root(root, dataset)
    classes = read_classes(root)
    listed, split_list = read_image_list(images), read_splits(splits)
    for split in SPLITS:
        if split not in set(split_list["split"]):
            raise ValueError(f"{splits} lists no image of the split {split}")
    image_ids, paths = listed["image_id"].tolist(), listed["path"].tolist()
    split_ids = split_list["image_id"].tolist()
    check_same_images(split_ids, str(splits), image_ids, str(images))
    is_train_N = (split_list["split"] == "train").to_numpy(bool)
    acts = Activations.open(shards, layer)
    check_same_images(acts.image_ids, str(shards[0]), image_ids, str(images))
    kept = str(acts.attributes["preprocessing"])
    preprocessing = Preprocessing.from_json(kept)
    grid = preprocessing.grid(acts.n_patches)

    def read(path: str) -> np.ndarray:
        mask = mask_path(root, path)
        check_size(mask, root / path)
        window_HW = read_mask(mask, len(classes), preprocessing)
        return whole_patches(window_HW, grid)

    labels_NP = np.empty((len(paths), acts.n_patches), np.uint16)
    purity_NP = np.empty((len(paths), acts.n_patches), np.float32)
    masks = []
    calls = (partial(read, path) for path in paths)
    windows = ahead(calls, n_threads=n_workers, n_ahead=2 * n_workers)
    with progress_bar(len(paths), "masks") as progress:
        for i, window_HW in enumerate(windows):
            labels_NP[i], purity_NP[i] = label_window(window_HW, grid, len(classes))
            if not is_train_N[i]:
                masks.append(window_HW)
            progress.update(1)
    labels = PatchLabels(
        image_ids, is_train_N, classes, labels_NP, purity_NP, np.stack(masks), kept
    )
    write_patch_labels(
        patch_labels, labels, {"dataset": dataset, "code": fingerprint("label_patches")}
    )
    _log(dataset, labels)


def _log(dataset: str, labels: PatchLabels) -> None:
    """Say how much of the data set has a label, and which classes have no patch."""
    is_labelled_NP = labels.labels_NP > 0
    logging.info(
        "%s: %s patches, %.1f %% unlabelled; %d classes, mean purity %.2f",
        *(dataset, f"{labels.labels_NP.size:,}", 100 * (~is_labelled_NP).mean()),
        *(labels.n_classes, labels.purity_NP.mean()),
    )
    for split, i_image_N in (
        ("training", labels.i_train_N),
        ("validation", labels.i_test_M),
    ):
        if unseen := labels.unseen_classes(i_image_N):
            logging.info(
                "no %s patch has the label of %d classes: %s",
                *(split, len(unseen), "; ".join(unseen)),
            )


if __name__ == "__main__":
    run(label_patches)
