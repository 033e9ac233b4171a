"""Label the patches of a data set's images by its masks."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt16

from vitproto.activations.ahead import ahead
from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.data.ade20k import mask_path
from vitproto.data.image_list import (
    SPLITS,
    check_same_images,
    read_image_list,
    read_splits,
)
from vitproto.segmentation.labels.masks import check_size, read_mask
from vitproto.segmentation.labels.patch_labels import (
    PatchLabels,
    label_window,
    whole_patches,
)


@dataclass(frozen=True)
class SplitImages:
    """The images of a data set.

    Attributes:
        image_ids: in the order of the image list.
        paths: relative to the folder of the data set, in the same order.
        is_train_N: whether an image is for training; the others are for tests.
    """

    image_ids: list[str]
    paths: list[str]
    is_train_N: Bool[np.ndarray, " n"]


def read_split_images(images: Path, splits: Path) -> SplitImages:
    """Read which images there are, and which of them are for training.

    Args:
        images: the CSV file that lists the images.
        splits: the CSV file with their splits.

    Raises:
        ValueError: the files list different images, or a split has none.
    """
    listed, split_list = read_image_list(images), read_splits(splits)
    for split in SPLITS:
        if split not in set(split_list["split"]):
            raise ValueError(f"{splits} lists no image of the split {split}")
    image_ids, split_ids = listed["image_id"].tolist(), split_list["image_id"].tolist()
    check_same_images(split_ids, str(splits), image_ids, str(images))
    is_train_N = (split_list["split"] == "train").to_numpy(bool)
    return SplitImages(image_ids, listed["path"].tolist(), is_train_N)


def label_images(
    root: Path,
    images: SplitImages,
    classes: list[str],
    acts: Activations,
    n_workers: int,
) -> PatchLabels:
    """Read the masks in the geometry in which the encoder saw the images.

    Args:
        root: the folder of the data set, in ADE20K's layout.
        images: its images.
        classes: their names; the first one's label is 1.
        acts: the activations of the same images, which say how the encoder saw them.
        n_workers: threads that decode masks.

    Raises:
        ValueError: a mask is missing, or has another size than its image or a label
            without a class.
    """
    kept = str(acts.attributes["preprocessing"])
    preprocessing = Preprocessing.from_json(kept)
    grid = preprocessing.grid(acts.n_patches)

    def read(path: str) -> UInt16[np.ndarray, "h w"]:
        mask = mask_path(root, path)
        check_size(mask, root / path)
        window_HW = read_mask(mask, len(classes), preprocessing)
        return whole_patches(window_HW, grid)

    n_images = len(images.paths)
    labels_NP = np.empty((n_images, acts.n_patches), np.uint16)
    purity_NP = np.empty((n_images, acts.n_patches), np.float32)
    masks = []
    calls = (partial(read, path) for path in images.paths)
    windows = ahead(calls, n_threads=n_workers, n_ahead=2 * n_workers)
    with progress_bar(n_images, "masks") as progress:
        for i, window_HW in enumerate(windows):
            labels_NP[i], purity_NP[i] = label_window(window_HW, grid, len(classes))
            if not images.is_train_N[i]:
                masks.append(window_HW)
            progress.update(1)
    return PatchLabels(
        *(images.image_ids, images.is_train_N, classes),
        *(labels_NP, purity_NP, np.stack(masks), kept),
    )


def log_labels(dataset: str, labels: PatchLabels) -> None:
    """Log how much of a data set has a label, and which classes have no patch."""
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
