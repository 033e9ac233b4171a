"""Patch labels made up, for tests that need no masks on disk."""

import numpy as np

from vitproto.segmentation.labels.patch_labels import PatchLabels


def labelled(label_NP, grid, n_classes, patch_side=4, train_share=2 / 3):
    """Labels of patches whose masks show the same; the first images are for training.

    Every patch is pure.
    """
    label_NP = np.asarray(label_NP).astype(np.uint16)
    n_images = len(label_NP)
    is_train_N = np.arange(n_images) < round(train_share * n_images)
    masks_MRS = label_NP[~is_train_N].reshape(-1, *grid)
    return PatchLabels(
        image_ids=[f"image{i}" for i in range(n_images)],
        is_train_N=is_train_N,
        classes=[f"class {c + 1}" for c in range(n_classes)],
        labels_NP=label_NP,
        purity_NP=np.ones(label_NP.shape, np.float32),
        masks_MHW=masks_MRS.repeat(patch_side, 1).repeat(patch_side, 2),
    )
