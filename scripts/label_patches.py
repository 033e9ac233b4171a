"""Label the patches that an encoder saw with the classes of the masks."""

from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.data.ade20k import read_classes
from vitproto.data.data_root import check_root
from vitproto.data.image_list import check_same_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.patch_labels import write_patch_labels
from vitproto.segmentation.labels.read_labels import (
    label_images,
    log_labels,
    read_split_images,
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
    """Write the class of each recorded patch, and the masks of test images.

    Masks are resized and cropped like the images that the encoder saw. A patch has the
    most frequent label of its pixels.

    Args:
        root: The folder of the data set, in ADE20K's layout.
        images: The CSV file that lists its images, of list_ade20k.py.
        splits: The CSV file with the splits of its images, of the same stage.
        shards: All shards of its activations, which record how images were resized.
        layer: Any recorded block, from 0.
        patch_labels: The HDF5 file to write; `h5ls -v` shows how it was made.
        dataset: The name of the data set in the configuration, for messages.
        n_workers: Threads that decode masks.
    """
    check_root(root, dataset)
    classes = read_classes(root)
    listed = read_split_images(images, splits)
    acts = Activations.open(shards, layer)
    check_same_images(acts.image_ids, str(shards[0]), listed.image_ids, str(images))
    labels = label_images(root, listed, classes, acts, n_workers)
    made_of = {"dataset": dataset, "code": fingerprint("label_patches")}
    write_patch_labels(patch_labels, labels, made_of)
    log_labels(dataset, labels)


if __name__ == "__main__":
    run(label_patches)
