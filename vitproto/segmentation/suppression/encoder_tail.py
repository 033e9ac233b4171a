"""Run the later blocks of an encoder again, after an edit of an earlier one.

E edits of one image, P patches, D width.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8, UInt16
from torch import Tensor, nn

from vitproto.activations.encoder import Encoder, EncoderSettings, load_encoder
from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.core.threads import one_core_each
from vitproto.segmentation.probes.linear_probe import LinearProbe


class BlockCall(NamedTuple):
    """Arguments of a block other than the tokens, such as positions."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Captured(NamedTuple):
    """One image between two blocks."""

    patches_PD: Float[Tensor, "p d"]
    """After the edited block, as `Encoder.encode` returns them."""
    probed_PD: Float[Tensor, "p d"]
    """After the probed block, without an edit; the same bits as `Encoder.encode`."""
    tokens: Tensor
    """After the edited block, with prefix tokens, in the form that blocks take."""
    calls: list[BlockCall]
    """One per later block, up to the probed one."""


class Tail:
    """The blocks of an encoder after the edited one, up to the probed one.

    `capture` runs an image through the encoder once; `replay` runs it again from the
    edited block on, for many edits at once. Several threads may share a tail.

    A tail adds hooks to the encoder, which do not change its outputs.
    """

    def __init__(self, encoder: Encoder, layer: int, probe_layer: int):
        """Attach to `encoder`.

        Args:
            encoder: on any device.
            layer: the block whose output is edited, counted from 0.
            probe_layer: the block whose output is probed.

        Raises:
            ValueError: the probed block does not come after the edited one, or the
                encoder lacks it.
        """
        trunk = getattr(encoder.vision, "trunk", encoder.vision)
        is_native = not hasattr(trunk, "blocks")
        blocks = trunk.transformer.resblocks if is_native else trunk.blocks
        if not 0 <= layer < probe_layer < len(blocks):
            raise ValueError(
                f"{encoder.settings.model} has no blocks after layer {layer} up to "
                f"layer {probe_layer}: it has layers 0 to {len(blocks) - 1}, and the "
                "edited layer must come before the probed one"
            )
        self.encoder, self.layer, self.probe_layer = encoder, layer, probe_layer
        self._blocks: list[nn.Module] = list(blocks)[layer + 1 : probe_layer + 1]
        # Some open_clip towers order tokens as (token, image, value).
        self._batch_dim = 1 if is_native and not trunk.transformer.batch_first else 0
        self._of_thread = threading.local()
        for block in self._blocks:
            block.register_forward_pre_hook(self._note, with_kwargs=True)

    def capture(self, pixels_CHW: UInt8[Tensor, "3 h w"]) -> Captured:
        """Run one image up to the probed block.

        Args:
            pixels_CHW: from `Preprocessing.read`, on the encoder's device.
        """
        self._of_thread.noted = noted = []
        try:
            layers = (self.layer, self.probe_layer)
            outputs = self.encoder.encode(pixels_CHW[None], layers)
        finally:
            del self._of_thread.noted
        assert len(noted) == len(self._blocks), len(noted)
        first_args, _ = noted[0]
        calls = [
            BlockCall(
                tuple(map(_differentiable, args[1:])),
                {name: _differentiable(value) for name, value in kwargs.items()},
            )
            for args, kwargs in noted
        ]
        patches_PD, probed_PD = (outputs[i].patches_BPD[0] for i in layers)
        tokens = _differentiable(first_args[0])
        return Captured(
            _differentiable(patches_PD), _differentiable(probed_PD), tokens, calls
        )

    def replay(
        self, captured: Captured, edit_EPD: Float[Tensor, "e p d"]
    ) -> Float[Tensor, "e p d"]:
        """The patches after the probed block, with edits added after the edited one.

        Prefix tokens (CLS, registers) are not edited, but attend to edited patches in
        later blocks. On a CPU, a single edit of zeros gives the bits of `probed_PD`;
        several edits at once may differ by rounding. Differentiable in the edits.

        Args:
            captured: from the same tail.
            edit_EPD: added to the patches, on the encoder's device.
        """
        encoder, n_edits = self.encoder, len(edit_EPD)
        sizes = [-1, -1, -1]
        sizes[self._batch_dim] = n_edits
        tokens_ETD = captured.tokens.expand(sizes)
        if self._batch_dim == 1:
            tokens_ETD = tokens_ETD.transpose(0, 1)
        prefix_EFD, patches_EPD = (
            tokens_ETD[:, : encoder.n_prefix],
            tokens_ETD[:, encoder.n_prefix :],
        )
        # Added in float32, whatever type the blocks compute in.
        edited_EPD = (patches_EPD.float() + edit_EPD).to(patches_EPD.dtype)
        tokens = torch.cat([prefix_EFD, edited_EPD], dim=1)
        if self._batch_dim == 1:
            tokens = tokens.transpose(0, 1).contiguous()
        with torch.autocast(
            "cuda",
            dtype=torch.bfloat16,
            enabled=encoder.computed_in(edit_EPD.device) == "bfloat16",
        ):
            for block, call in zip(self._blocks, captured.calls, strict=True):
                tokens = block(tokens, *call.args, **call.kwargs)
        if self._batch_dim == 1:
            tokens = tokens.transpose(0, 1)
        return tokens[:, encoder.n_prefix :].float()

    def __call__(
        self, pixels_CHW: UInt8[Tensor, "3 h w"], edit_EPD: Float[Tensor, "e p d"]
    ) -> Float[Tensor, "e p d"]:
        """`capture` and `replay`, for an image that is used only once."""
        return self.replay(self.capture(pixels_CHW), edit_EPD)

    def _note(self, _block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """A hook before each block, which records arguments during `capture`."""
        noted = getattr(self._of_thread, "noted", None)
        if noted is not None:
            noted.append((args, kwargs))


def load_tail(
    settings: EncoderSettings,
    compute_dtype: Literal["float32", "bfloat16"],
    layer: int,
    probe_layer: int,
    recorded: Activations,
    shard: Path,
    device: torch.device,
) -> Tail:
    """Load an encoder, check that it recorded the activations, and make its tail.

    Args:
        settings: the settings of the encoder.
        compute_dtype: the type in which CUDA computes.
        layer, probe_layer: see `Tail`.
        recorded: the activations.
        shard: one of their files, for messages.
        device: where to load the encoder.

    Raises:
        ValueError: another encoder recorded them, or it cannot be loaded.
    """
    encoder = load_encoder(settings, compute_dtype, (layer, probe_layer)).to(device)
    encoder = encoder.reading_as_recorded(recorded.attributes)
    attributes = {
        **encoder.attributes(),
        "computed_in": encoder.computed_in(device),
    }
    loaded = MadeWith(f"the encoder {settings.model}", attributes, None)
    check_same_encoder(MadeWith(str(shard), recorded.attributes, None), loaded)
    return Tail(encoder, layer, probe_layer)


def mean_class_gradients(
    tail: Tail,
    probe: LinearProbe,
    paths: Sequence[Path],
    labels_NP: UInt16[np.ndarray, "n p"],
    n_images: int,
    device: torch.device,
) -> Float32[np.ndarray, "c d"]:
    """The direction at the edited layer along which each class's logit rises most.

    Let score_c(p) be the logit of class c at patch p less the mean of all C logits
    there, by a probe of a later layer, and Q the patches of image n with label c + 1.
    The direction of class c is

        d_c = mean over n of [ 1 / |Q| · Σ_{p in Q} Σ_q ∂ score_c(p) / ∂ x_q ]

    where x_q are the activations of patch q at the edited layer and q runs over all
    patches of the image. So d_c · v is the change of the mean score of the class's
    patches, to first order, if v is added to every patch. If both layers were the same,
    d_c would be W_c - mean W.

    On a CPU one core computes one image, so the number of cores does not change a bit.

    Args:
        tail: the tail of the encoder, on `device`.
        probe: a probe of the tail's probed layer, with C classes.
        paths: N image files.
        labels_NP: the labels of their patches; 0 for none, c + 1 for class c.
        n_images: how many images to use for a class, at most: evenly spaced ones of
            those that show it.
        device: where to compute gradients.

    Returns:
        A row per class; NaN if no image shows the class.

    Raises:
        ValueError: a file cannot be read.
    """
    on_device = probe.to(device)
    classes_of = _images_to_use(labels_NP, probe.n_classes, n_images)
    sum_CD = np.zeros((probe.n_classes, probe.width))
    n_used_C = np.zeros(probe.n_classes, np.int64)

    def differentiate(i_image: int) -> np.ndarray:
        pixels_CHW = torch.from_numpy(tail.encoder.preprocessing.read(paths[i_image]))
        captured = tail.capture(pixels_CHW.to(device))
        labels_P = torch.from_numpy(labels_NP[i_image].astype(np.int64)).to(device)
        classes = classes_of[i_image]
        gradients = _class_gradients(tail, captured, on_device, labels_P, classes)
        return gradients.cpu().numpy()

    with (
        one_core_each() as workers,
        progress_bar(len(classes_of), "images") as progress,
    ):
        for classes, gradients_GD in zip(
            classes_of.values(), workers.map(differentiate, classes_of), strict=True
        ):
            sum_CD[classes] += gradients_GD
            n_used_C[classes] += 1
            progress.update()
    mean_CD = np.full(sum_CD.shape, np.nan)
    is_shown_C = n_used_C > 0
    mean_CD[is_shown_C] = sum_CD[is_shown_C] / n_used_C[is_shown_C, None]
    return mean_CD.astype(np.float32)


def _images_to_use(
    labels_NP: np.ndarray, n_classes: int, n_images: int
) -> dict[int, list[int]]:
    """The images to use, ascending, and the classes for which each is used."""
    classes_of: dict[int, list[int]] = {}
    for c in range(n_classes):
        shows = np.flatnonzero((labels_NP == c + 1).any(axis=1))
        n_used = min(n_images, len(shows))
        for i_image in shows[np.arange(n_used) * len(shows) // max(n_used, 1)].tolist():
            classes_of.setdefault(i_image, []).append(c)
    return dict(sorted(classes_of.items()))


def _class_gradients(
    tail: Tail,
    captured: Captured,
    probe: LinearProbe,
    labels_P: Tensor,
    classes: Sequence[int],
) -> Tensor:
    """The gradients of one image, for each of `classes`."""
    # The gradient of one vector that is added to every patch is the sum over patches.
    with torch.enable_grad():
        added_D = torch.zeros(probe.width, device=labels_P.device, requires_grad=True)
        edit_EPD = added_D.expand(1, len(labels_P), probe.width)
        logits_PC = probe(tail.replay(captured, edit_EPD)[0])
        score_PC = logits_PC - logits_PC.mean(dim=1, keepdim=True)
        gradients = []
        for c in classes:
            score = score_PC[labels_P == c + 1, c].mean()
            gradients += torch.autograd.grad(score, added_D, retain_graph=True)
    return torch.stack(gradients)


def _differentiable(value: Any) -> Any:
    """The value itself; a copy if it is a tensor made in inference mode."""
    if isinstance(value, Tensor) and value.is_inference():
        return value.clone()
    if isinstance(value, tuple | list):
        return type(value)(map(_differentiable, value))
    return value
