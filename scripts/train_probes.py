"""Train the linear probes of a sweep."""

import dataclasses
import sys
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.files import sha256_of
from vitproto.core.stopping import StoppedError
from vitproto.core.unfinished import Unfinished
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.patch_labels import read_patch_labels
from vitproto.segmentation.probes import training
from vitproto.segmentation.probes.linear_probe import save_probes
from vitproto.segmentation.probes.state import ProbeState
from vitproto.segmentation.probes.training import ProbeSettings


def train_probes(
    shards: tuple[Path, ...],
    layer: int,
    patch_labels: Path,
    probes: Path,
    *,
    device: str,
    save_every_s: float,
    cfg: ProbeSettings,
) -> None:
    """Train a linear probe for each learning rate and weight decay, all together.

    They are trained on the labelled patches of training images, but for held-out ones.
    A killed training resumes from its last state, with the same result: on a CPU, bit
    for bit.

    Args:
        shards: All shards of the activations to train on.
        layer: The block, from 0.
        patch_labels: The HDF5 file with the label of each patch.
        probes: The safetensors file to write, with all probes and their settings.
        device: The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
        save_every_s: Seconds between the states from which a killed training goes on.
        cfg: The probes of the sweep and their training.
    """
    torch_device = pick_device(device)
    acts = Activations.open(shards, layer)
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    settings = {
        **dataclasses.asdict(cfg),
        "layer": layer,
        "classes": labels.classes,
        "trained_on": acts.attributes,
        "code": fingerprint("train_probes"),
    }
    contents = {
        "activations": acts.digest(),
        "patch_labels": sha256_of(patch_labels).hex(),
        "device": torch_device.type,
    }
    unfinished = Unfinished(probes, {**settings, **contents})
    state = ProbeState(unfinished, save_every_s)
    try:
        trained = training.train_probes(acts, labels, cfg, torch_device, state)
    except StoppedError as stopped:
        sys.exit(f"train_probes: {stopped}")
    save_probes(probes, trained, settings)
    unfinished.forget()


if __name__ == "__main__":
    run(train_probes)
