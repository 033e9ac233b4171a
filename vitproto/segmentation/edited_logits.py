"""What a probe says of the patches of an image before and after they are edited.

P patches, D width, J latents of a class, C classes, K kinds of edits, E edits: a kind
at a dose. An edit is a product over J, coefficients · directions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float32
from torch import Tensor

from vitproto.activations.encoder import Encoder
from vitproto.segmentation.encoder_tail import Tail
from vitproto.segmentation.linear_probe import LinearProbe

EDITS_AT_ONCE = 16
"""Edits that run through the encoder together, whatever the number of cores: bits of
a product can depend on the number of its rows."""


@runtime_checkable
class EditedLogits(Protocol):
    """Logits of the patches of test images, wherever they are edited."""

    def before(
        self, i_test: int, acts_PD: Float32[Tensor, "p d"]
    ) -> Float32[Tensor, "p c"]:
        """The logits of test image `i_test`, whose recorded activations are given."""
        ...

    def prepare(self, directions_KJD: Float32[Tensor, "k j d"]) -> Tensor:
        """What `after` needs of the directions of a class, K × J × anything."""
        ...

    def after(
        self,
        i_test: int,
        before_PC: Float32[Tensor, "p c"],
        prepared_EJX: Float32[Tensor, "e j x"],
        coefficients_EPJ: Float32[Tensor, "e p j"],
    ) -> Float32[Tensor, "e p c"]:
        """The logits of the image after each edit."""
        ...


class AtProbeLayer:
    """Edits of what the probe reads: logits + coefficients · (directions · Wᵀ).

    No activation is multiplied again, whatever the number of edits.
    """

    def __init__(self, probe: LinearProbe):
        """Both the probe and what is given later lie on one device."""
        self._probe = probe

    def before(
        self, i_test: int, acts_PD: Float32[Tensor, "p d"]
    ) -> Float32[Tensor, "p c"]:
        """The logits of the recorded activations."""
        return self._probe(acts_PD)

    def prepare(
        self, directions_KJD: Float32[Tensor, "k j d"]
    ) -> Float32[Tensor, "k j c"]:
        """How much one unit of each direction changes each logit."""
        weight_DC = self._probe.weight_CD.T.double()
        return (directions_KJD.double() @ weight_DC).float()

    def after(
        self,
        i_test: int,
        before_PC: Float32[Tensor, "p c"],
        prepared_EJX: Float32[Tensor, "e j x"],
        coefficients_EPJ: Float32[Tensor, "e p j"],
    ) -> Float32[Tensor, "e p c"]:
        """The logits of the image after each edit."""
        before_EPC = before_PC.expand(len(coefficients_EPJ), -1, -1)
        return torch.baddbmm(before_EPC, coefficients_EPJ, prepared_EJX)


class AtEarlierLayer:
    """Edits of an earlier block's output: the encoder's blocks after it run again.

    The logits before are those of an edit by zero on the same way. Activations on disk
    may be rounded, and images are encoded anew here.
    """

    def __init__(
        self, encoder: Encoder, tail: Tail, probe: LinearProbe, paths: Sequence[Path]
    ):
        """Prepare nothing yet.

        Args:
            encoder: whose blocks `tail` runs; on the device of all that is given later.
            tail: from the autoencoder's layer to the probe's.
            probe: on that device.
            paths: the test images in their order.
        """
        self._encoder, self._tail = encoder, tail
        self._probe, self._paths = probe, paths

    def before(
        self, i_test: int, acts_PD: Float32[Tensor, "p d"]
    ) -> Float32[Tensor, "p c"]:
        """The logits of the image, edited by zero."""
        return self._logits(i_test, torch.zeros_like(acts_PD)[None])[0]

    def prepare(
        self, directions_KJD: Float32[Tensor, "k j d"]
    ) -> Float32[Tensor, "k j d"]:
        """The directions themselves."""
        return directions_KJD

    def after(
        self,
        i_test: int,
        before_PC: Float32[Tensor, "p c"],
        prepared_EJX: Float32[Tensor, "e j x"],
        coefficients_EPJ: Float32[Tensor, "e p j"],
    ) -> Float32[Tensor, "e p c"]:
        """The logits of the image after each edit."""
        edit_EPD = torch.bmm(coefficients_EPJ, prepared_EJX)
        return self._logits(i_test, edit_EPD)

    def _logits(
        self, i_test: int, edit_EPD: Float32[Tensor, "e p d"]
    ) -> Float32[Tensor, "e p c"]:
        read = self._encoder.preprocessing.read(self._paths[i_test])
        pixels_CHW = torch.from_numpy(read).to(edit_EPD.device)
        parts = [
            self._probe(self._tail(pixels_CHW, some_EPD).flatten(0, 1))
            for some_EPD in edit_EPD.split(EDITS_AT_ONCE)
        ]
        return torch.cat(parts).unflatten(0, edit_EPD.shape[:2])
