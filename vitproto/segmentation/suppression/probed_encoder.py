"""The probe, and the encoder's blocks between an edited layer and the probe's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitproto.activations.encoder import EncoderSettings
from vitproto.activations.stream import Activations
from vitproto.segmentation.labels.labelled_images import LabelledImages
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.probes.linear_probe import (
    LinearProbe,
    check_trained_on,
    load_probe,
)
from vitproto.segmentation.suppression.autoencoders import FittedAutoencoder
from vitproto.segmentation.suppression.edited_logits import (
    AtEarlierLayer,
    AtProbeLayer,
    EditedLogits,
)
from vitproto.segmentation.suppression.encoder_tail import load_tail


@dataclass(frozen=True)
class ProbedEncoder:
    """Which layer is probed, and the encoder that runs from an earlier one to it."""

    probe_layer: int
    """The block whose output the probe takes, counted from 0."""
    compute_dtype: Literal["float32", "bfloat16"]
    """The type in which a GPU computes the encoder; a CPU always computes in
    float32."""
    encoder_cfg: EncoderSettings

    def check_reached_from(self, layer: int) -> None:
        """Refuse a layer that comes after the probe's.

        Raises:
            ValueError: it does.
        """
        if layer > self.probe_layer:
            raise ValueError(
                f"what is edited at layer {layer} never reaches a probe of layer "
                f"{self.probe_layer}: name a layer from 0 to {self.probe_layer}"
            )

    def place_of(self, fitted: FittedAutoencoder) -> dict[str, str | int]:
        """The names that say which autoencoder is suppressed, and which probe looks."""
        return {
            **{"encoder": fitted.encoder, "probe_layer": self.probe_layer},
            **{"layer": fitted.layer, "method": fitted.method, "run": fitted.run},
        }


def load_fitting_probe(
    path: Path, shards: Sequence[Path], layer: int, labels: PatchLabels
) -> LinearProbe:
    """Read a probe, which must fit these activations and labels.

    Args:
        path: the safetensors file of the probe.
        shards: all shards of the activations.
        layer: the block whose output it takes.
        labels: what it predicts.

    Raises:
        ValueError: the file is damaged, or the probe was trained on activations of
            another encoder, layer or width, or for other classes.
    """
    probe = load_probe(path)
    acts = Activations.open(shards, layer)
    probe.check(path, acts, labels.n_classes)
    check_trained_on(path, acts, shards[0])
    return probe


def load_logits(
    probe: LinearProbe,
    probed: ProbedEncoder,
    acts: Activations,
    shard: Path,
    images: LabelledImages,
    labels: PatchLabels,
) -> EditedLogits:
    """Make what gives logits of edited activations.

    At the probe's own layer that is the probe; at an earlier layer the encoder's blocks
    in between run first, on the test images.

    Args:
        probe: on the device where all is computed.
        probed: its layer, and the encoder.
        acts: the activations that are edited.
        shard: a file of these, for messages.
        images: where the images lie; not read at the probe's own layer.
        labels: theirs.

    Raises:
        ValueError: the encoder is not the one that recorded the activations, or images
            are missing.
    """
    if acts.layer == probed.probe_layer:
        return AtProbeLayer(probe)
    files = images.files(labels)
    tail = load_tail(
        *(probed.encoder_cfg, probed.compute_dtype, acts.layer, probed.probe_layer),
        *(acts, shard, probe.weight_CD.device),
    )
    return AtEarlierLayer(tail, probe, [files[i] for i in labels.i_test_M])
