"""The logits of an image's patches, before and after edits.

P patches, D width, J latents of a class, C classes, K kinds of edits, E edits: a kind
at a dose. An edit is a product over J, coefficients · directions.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float32
from torch import Tensor

from vitproto.segmentation.probes.linear_probe import LinearProbe
from vitproto.segmentation.suppression.encoder_tail import Captured, Tail

EDITS_AT_ONCE = 16
"""Edits of an image that run through the encoder together, and whose logits are in
memory at a time. It does not depend on the number of cores, because the bits of a
matrix product can depend on its number of rows."""


@runtime_checkable
class EditedLogits(Protocol):
    """Computes the logits of test images' patches, for edits at any layer."""

    def before(
        self, i_test: int, acts_PD: Float32[Tensor, "p d"]
    ) -> Float32[Tensor, "p c"]:
        """The logits of test image `i_test`, whose recorded activations are given."""
        ...

    def prepare(self, directions_KJD: Float32[Tensor, "k j d"]) -> Tensor:
        """Precompute what `after` needs for a class's directions: K × J × anything."""
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
    """Edits at the probe's layer: logits + coefficients · (directions · Wᵀ).

    Activations are multiplied by the weights once, for any number of edits.
    """

    def __init__(self, probe: LinearProbe):
        """`probe` and all later arguments are on the same device."""
        self._probe = probe

    def before(
        self, i_test: int, acts_PD: Float32[Tensor, "p d"]
    ) -> Float32[Tensor, "p c"]:
        """The logits of the recorded activations."""
        return self._probe(acts_PD)

    def prepare(
        self, directions_KJD: Float32[Tensor, "k j d"]
    ) -> Float32[Tensor, "k j c"]:
        """The change of each logit by one unit of each direction."""
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
    """Edits of an earlier block's output; the encoder's later blocks run again.

    The logits before are computed the same way, with an edit by zero: from the image
    encoded here, not from recorded activations, which may be rounded.
    """

    def __init__(self, tail: Tail, probe: LinearProbe, paths: Sequence[Path]):
        """Nothing is computed yet.

        Args:
            tail: from the autoencoder's layer to the probe's; its encoder is on the
                device of all later arguments.
            probe: on that device.
            paths: the test images, in order.
        """
        self._tail, self._probe, self._paths = tail, probe, paths
        self._of_thread = threading.local()

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
        return self._logits(i_test, torch.bmm(coefficients_EPJ, prepared_EJX))

    def _logits(
        self, i_test: int, edit_EPD: Float32[Tensor, "e p d"]
    ) -> Float32[Tensor, "e p c"]:
        captured = self._capture(i_test, edit_EPD.device)
        parts = []
        for some_EPD in edit_EPD.split(EDITS_AT_ONCE):
            # Always the same number, so that an edit's bits do not depend on others.
            whole_EPD = some_EPD.new_zeros(EDITS_AT_ONCE, *some_EPD.shape[1:])
            whole_EPD[: len(some_EPD)] = some_EPD
            patches_EPD = self._tail.replay(captured, whole_EPD)
            logits_XC = self._probe(patches_EPD.flatten(0, 1))
            parts.append(logits_XC.unflatten(0, whole_EPD.shape[:2])[: len(some_EPD)])
        return torch.cat(parts)

    def _capture(self, i_test: int, device: torch.device) -> Captured:
        """The image between the two blocks; each thread caches its last one."""
        if getattr(self._of_thread, "i_test", None) != i_test:
            read = self._tail.encoder.preprocessing.read(self._paths[i_test])
            pixels_CHW = torch.from_numpy(read).to(device)
            self._of_thread.captured = self._tail.capture(pixels_CHW)
            self._of_thread.i_test = i_test
        return self._of_thread.captured
