"""Train the linear probes of a sweep."""

import dataclasses
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.patch_labels import read_patch_labels
from vitproto.segmentation.probes import training
from vitproto.segmentation.probes.linear_probe import save_probes
from vitproto.segmentation.probes.training import ProbeSettings


def train_probes(
    shards: tuple[Path, ...],
    layer: int,
    patch_labels: Path,
    probes: Path,
    *,
    device: str,
    cfg: ProbeSettings,
) -> None:
    """Train a linear probe for each learning rate and weight decay, all together.

    They learn from the training images' patches that have a label. A training that was
    killed begins again.

    Args:
        shards: all shards of the activations to learn from.
        layer: which block, counted from 0.
        patch_labels: the HDF5 file that says what each patch shows.
        probes: the safetensors file to write, with all probes and what made them.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
        cfg: which probes, and how they learn.
    """
    torch_device = pick_device(device)
    acts = Activations.open(shards, layer)
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    trained = training.train_probes(acts, labels, cfg, torch_device)
    settings = {
        **dataclasses.asdict(cfg),
        "layer": layer,
        "classes": labels.classes,
        "trained_on": acts.attributes,
        "code": fingerprint("train_probes"),
    }
    save_probes(probes, trained, settings)


if __name__ == "__main__":
    run(train_probes)
