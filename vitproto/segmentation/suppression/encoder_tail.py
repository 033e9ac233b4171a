"""What an edit of an earlier layer does: the encoder's later blocks, run again.

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
    """What a block takes besides the tokens, such as positions."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Captured(NamedTuple):
    """One image between two blocks."""

    patches_PD: Float[Tensor, "p d"]
    """After the edited block, as `Encoder.encode` gives them."""
    probed_PD: Float[Tensor, "p d"]
    """After the probed block, without an edit; the same bits as `Encoder.encode`."""
    tokens: Tensor
    """After the edited block, prefix tokens included, in the form that blocks take."""
    calls: list[BlockCall]
    """Of each later block, up to the probed one."""


class Tail:
    """The blocks of an encoder after an edited one, up to the one that is probed.

    An image runs through the encoder once, in `capture`; `replay` then runs it again
    from the edited block on, for many edits at once. Several threads may use a tail at
    the same time.

    The tail stays attached to the encoder, whose own outputs it leaves as they are.
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
                f"no block of {encoder.settings.model} lies after layer {layer} and up "
                f"to layer {probe_layer}: it has layers 0 to {len(blocks) - 1}, and "
                "what is edited must come before what is probed"
            )
        self.encoder, self.layer, self.probe_layer = encoder, layer, probe_layer
        self._blocks: list[nn.Module] = list(blocks)[layer + 1 : probe_layer + 1]
        # Some towers of open_clip keep tokens as (token, image, value).
        self._batch_dim = 1 if is_native and not trunk.transformer.batch_first else 0
        self._of_thread = threading.local()
        for block in self._blocks:
            block.register_forward_pre_hook(self._note, with_kwargs=True)

    def capture(self, pixels_CHW: UInt8[Tensor, "3 h w"]) -> Captured:
        """Run one image up to the probed block.

        Args:
            pixels_CHW: as `Preprocessing.read` returns them, on the encoder's device.
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
        """The patches after the probed block, once edits are added to the earlier one.

        Prefix tokens (CLS, registers) are not edited, but see the edited patches in
        the blocks that follow. On a CPU, a single edit of zeros gives `probed_PD` to
        the last bit; more edits at once may differ by rounding. Differentiable in the
        edits.

        Args:
            captured: by the same tail.
            edit_EPD: what is added to the patches, on the encoder's device.
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
        # In float32, whatever the blocks compute in.
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
        """`replay` of an image that is needed only once."""
        return self.replay(self.capture(pixels_CHW), edit_EPD)

    def _note(self, _block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """Called before each block; only a thread that captures takes note."""
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
    """Load the blocks between two layers of the encoder that recorded activations.

    Args:
        settings: of the encoder.
        compute_dtype: what CUDA computes in.
        layer, probe_layer: see `Tail`.
        recorded: the activations.
        shard: where they lie, for the message.
        device: where the encoder goes.

    Raises:
        ValueError: the encoder is another one, or cannot be loaded.
    """
    encoder = load_encoder(settings, compute_dtype, (layer, probe_layer)).to(device)
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
    """Along which direction at the edited layer does each class's logit rise most?

    Let score_c(p) be the logit of class c at patch p less the mean of all C logits
    there, by a probe of a later layer, and Q the patches of image n with label c + 1.
    The direction of class c is

        d_c = mean over n of [ 1 / |Q| · Σ_{p in Q} Σ_q ∂ score_c(p) / ∂ x_q ]

    where x_q are the activations of patch q at the edited layer and q runs over all
    patches of the image. So d_c · v says how the mean score of the class's patches
    changes, to first order, when v is added to every patch. Were both layers the same,
    it would be W_c - mean W.

    On a CPU one core computes one image, so cores do not change a bit.

    Args:
        tail: of the encoder, on `device`.
        probe: of the tail's probed layer, with C classes.
        paths: N image files.
        labels_NP: the labels of their patches; 0 for none, c + 1 for class c.
        n_images: per class, how many of the images that show it count, at most. They
            lie evenly spread over those in the order given.
        device: where gradients are computed.

    Returns:
        NaN for a class that no image shows.

    Raises:
        ValueError: a file cannot be read; it is named.
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
    """Which images count, by rising number, and for which classes each does."""
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
    """What one image adds to the mean, for each of `classes`."""
    # One vector, added to every patch: its gradient is the sum over all of them.
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
