"""All that it takes to suppress the latents of an autoencoder, read from files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitproto.activations.stream import Activations
from vitproto.core.files import sha256_of
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.segmentation.labels.labelled_images import LabelledImages
from vitproto.segmentation.labels.patch_labels import PatchLabels, read_patch_labels
from vitproto.segmentation.suppression.autoencoders import (
    FittedAutoencoder,
    load_autoencoder,
)
from vitproto.segmentation.suppression.edited_logits import EditedLogits
from vitproto.segmentation.suppression.edits import Activity
from vitproto.segmentation.suppression.latent_tables import (
    ChosenClass,
    read_activity,
    read_chosen,
)
from vitproto.segmentation.suppression.probed_encoder import (
    ProbedEncoder,
    load_fitting_probe,
    load_logits,
)


@dataclass(frozen=True)
class SuppressionInputs:
    """The files that say what is suppressed, and who looks at it."""

    shards: tuple[Path, ...]
    """All shards of the activations, of the autoencoder's layer and the probe's."""
    probe: Path
    """The safetensors file with the linear probe."""
    class_latents: Path
    """The CSV file with the chosen latents of each class."""
    activity: Path
    """The CSV file with what each latent did in training."""


@dataclass(frozen=True)
class Suppressible:
    """An autoencoder, what its latents act on, and what looks at that.

    Attributes:
        acts: the activations of the autoencoder's layer.
        labels: of the same images.
        autoencoder: on the CPU.
        activity: what its latents did in training.
        chosen: the classes, with their latents or none.
        logits: what the probe says of edited activations, on the device of all work.
    """

    acts: Activations
    labels: PatchLabels
    autoencoder: SparseAutoencoder
    activity: Activity
    chosen: list[ChosenClass]
    logits: EditedLogits

    def identify(
        self,
        inputs: SuppressionInputs,
        labelled: LabelledImages,
        fitted: FittedAutoencoder,
        directions: Path,
    ) -> dict[str, Any]:
        """Digests of all that is read: with the same ones, counts are the same."""
        files = [
            *(inputs.probe, inputs.class_latents, inputs.activity, directions),
            *(labelled.patch_labels, fitted.checkpoints),
        ]
        return {
            "activations": self.acts.digest(),
            "recorded": self.acts.attributes,
            "files": [sha256_of(path).hex() for path in files],
        }


def open_inputs(
    inputs: SuppressionInputs,
    labelled: LabelledImages,
    fitted: FittedAutoencoder,
    probed: ProbedEncoder,
    device: torch.device,
) -> Suppressible:
    """Read all that suppression needs, and refuse what does not belong together.

    Args:
        inputs: the files.
        labelled: the images and their labels.
        fitted: the autoencoder.
        probed: the probe's layer, and the encoder.
        device: where all work is done.

    Raises:
        ValueError: a file is missing or damaged, or two were made with different
            encoders, layers, images or classes.
    """
    acts = Activations.open(inputs.shards, fitted.layer)
    shard = inputs.shards[0]
    labels = read_patch_labels(labelled.patch_labels)
    labels.check(acts, labelled.patch_labels, shard)
    probe = load_fitting_probe(inputs.probe, inputs.shards, probed.probe_layer, labels)
    autoencoder = load_autoencoder(fitted, acts, shard)
    n_latents = autoencoder.n_prototypes
    on_device = probe.to(device)
    return Suppressible(
        acts,
        labels,
        autoencoder,
        read_activity(inputs.activity, n_latents),
        read_chosen(inputs.class_latents, labels.classes, n_latents),
        load_logits(on_device, probed, acts, shard, labelled, labels),
    )
