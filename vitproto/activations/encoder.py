"""Vision transformers whose blocks' outputs we record.

Layers are the transformer's blocks, counted from 0: layer 23 is the output of the
last block of a ViT-L, before the final normalisation.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.torchvision_shim import import_open_clip

HUB = "hub"
"""The value of `checkpoint` that downloads the weights."""
RANDOM = "random"
"""The value of `checkpoint` that asks for random weights, as a control."""


@dataclass(frozen=True)
class EncoderSettings:
    """Which encoder, with which weights."""

    model: str
    """An open_clip name (`ViT-L-16-SigLIP-256`), `hf-hub:OWNER/NAME`,
    `local-dir:FOLDER`, or `timm:NAME` (`timm:vit_base_patch14_reg4_dinov2`)."""
    pretrained: str
    """The tag of the weights (`webli`), which also says how images are preprocessed.
    With `hf-hub:` and `local-dir:`, which hold one set of weights: `own`."""
    checkpoint: str
    """Where these weights lie: `hub` downloads them, a file needs no network, and
    `random` takes random weights instead, as a control."""
    image_size: int
    """Side of the square of pixels that the encoder sees."""
    patch_size: int
    """Side of the square of pixels that is a patch; checked when it is loaded."""
    width: int
    """How many values a token has; checked when the encoder is loaded."""
    n_blocks: int
    """How many transformer blocks the encoder has; checked when it is loaded."""


class LayerActivations(NamedTuple):
    """The output of one block for a batch of images."""

    patches_BPD: Float[Tensor, "b p d"]
    cls_BD: Float[Tensor, "b d"] | None


@dataclass(frozen=True)
class Encoder:
    """A vision transformer with its preprocessing, ready to run.

    Attributes:
        settings: what was asked for.
        vision: the image tower; has `forward_intermediates`.
        preprocessing: how images become its input.
        n_patches: P, the patches of an image.
        n_prefix: tokens before the patches (CLS first, then registers).
        width: D, the number of activations of a token.
        compute_dtype: what CUDA computes in; a CPU always computes in float32.
    """

    settings: EncoderSettings
    vision: nn.Module
    preprocessing: Preprocessing
    n_patches: int
    n_prefix: int
    width: int
    compute_dtype: Literal["float32", "bfloat16"]

    @torch.inference_mode()
    def encode(
        self, pixels_BCHW: UInt8[Tensor, "b 3 h w"], layers: Sequence[int]
    ) -> dict[int, LayerActivations]:
        """What do the blocks say about each patch?

        Args:
            pixels_BCHW: as `Preprocessing.read` returns them, on the encoder's device.
            layers: which blocks, counted from 0.

        Returns:
            Per layer, the activations in float32.
        """
        pre = self.preprocessing
        mean = torch.tensor(pre.mean, device=pixels_BCHW.device).view(3, 1, 1)
        std = torch.tensor(pre.std, device=pixels_BCHW.device).view(3, 1, 1)
        images_BCHW = (pixels_BCHW.float().div(255) - mean) / std
        ascending = sorted(set(layers))
        with torch.autocast(
            "cuda",
            dtype=torch.bfloat16,
            enabled=self.computed_in(images_BCHW.device) == "bfloat16",
        ):
            patches, prefixes = self._intermediates(images_BCHW, ascending)
        outputs = {}
        for layer, patches_BPD, prefix_BED in zip(
            ascending, patches, prefixes, strict=True
        ):
            cls_BD = None if prefix_BED is None else prefix_BED[:, 0].float()
            outputs[layer] = LayerActivations(patches_BPD.float(), cls_BD)
        return outputs

    def _intermediates(
        self, images_BCHW: Float[Tensor, "b 3 h w"], ascending: list[int]
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """Patches and prefix tokens of each block, in ascending order of blocks."""
        if self.settings.model.startswith("timm:"):
            both = self.vision.forward_intermediates(
                images_BCHW,
                indices=ascending,
                return_prefix_tokens=self.n_prefix > 0,
                stop_early=True,
                output_fmt="NLC",
                intermediates_only=True,
            )
            if self.n_prefix == 0:
                return list(both), [None] * len(both)
            return [patches for patches, _ in both], [prefix for _, prefix in both]
        found = self.vision.forward_intermediates(
            images_BCHW,
            indices=ascending,
            stop_early=True,
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        patches = found["image_intermediates"]
        return patches, found.get("image_intermediates_prefix", [None] * len(patches))

    def computed_in(self, device: torch.device) -> str:
        """The type in which a device computes activations."""
        return self.compute_dtype if device.type == "cuda" else "float32"

    def to(self, device: torch.device) -> "Encoder":
        """Move the weights, in place, to `device`."""
        self.vision.to(device)
        return self

    def weights_digest(self) -> str:
        """Which weights are these, whatever file or hub they came from?"""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.vision.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()


def load_encoder(
    settings: EncoderSettings,
    compute_dtype: Literal["float32", "bfloat16"],
    layers: Sequence[int],
) -> Encoder:
    """Load an encoder that can record `layers`.

    Raises:
        ValueError: unknown model or tag, weights that cannot be had, or a layer
            that the encoder lacks.
    """
    load = _load_timm if settings.model.startswith("timm:") else _load_open_clip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for random weights: the same control everywhere
        vision, preprocessing = load(settings)
    vision.eval().requires_grad_(False)
    trunk = getattr(vision, "trunk", vision)
    blocks = trunk.blocks if hasattr(trunk, "blocks") else trunk.transformer.resblocks
    if len(blocks) != settings.n_blocks:
        raise ValueError(
            f"{settings.model} has {len(blocks)} blocks, n_blocks says "
            f"{settings.n_blocks}: write n_blocks: {len(blocks)}"
        )
    if lacking := [layer for layer in layers if not 0 <= layer < len(blocks)]:
        raise ValueError(
            f"{settings.model} has layers 0 to {len(blocks) - 1}, not {lacking}: "
            "name others in `layers`"
        )
    if preprocessing.height != preprocessing.width:
        raise ValueError(f"{settings.model} sees no square: {preprocessing}")
    if preprocessing.height != settings.image_size:
        raise ValueError(
            f"{settings.model} sees {preprocessing.height} pixels, image_size says "
            f"{settings.image_size}: write image_size: {preprocessing.height}"
        )
    # A native CLIP tower always has a CLS token, even where it pools the average.
    if hasattr(trunk, "blocks"):
        n_patches, n_prefix = trunk.patch_embed.num_patches, trunk.num_prefix_tokens
        width, patch = trunk.embed_dim, trunk.patch_embed.patch_size
    else:
        n_patches, n_prefix = math.prod(trunk.grid_size), 1
        width, patch = trunk.conv1.out_channels, trunk.conv1.kernel_size
    if tuple(patch) != (settings.patch_size, settings.patch_size):
        raise ValueError(
            f"{settings.model} has patches of {patch[0]} × {patch[1]} pixels, "
            f"patch_size says {settings.patch_size}: write patch_size: {patch[0]}"
        )
    if width != settings.width:
        raise ValueError(
            f"{settings.model} has tokens of width {width}, width says "
            f"{settings.width}: write width: {width}"
        )
    return Encoder(
        settings, vision, preprocessing, n_patches, n_prefix, width, compute_dtype
    )


def _load_open_clip(settings: EncoderSettings) -> tuple[nn.Module, Preprocessing]:
    """An image tower of open_clip and its preprocessing."""
    open_clip = import_open_clip()
    has_schema = settings.model.startswith(("hf-hub:", "local-dir:"))
    is_random = settings.checkpoint == RANDOM
    options = {} if has_schema else _open_clip_weights(open_clip, settings)
    try:
        model = open_clip.create_model(
            settings.model,
            load_weights=not is_random,
            require_pretrained=not is_random,
            pretrained_text=False,
            **options,
        )
    # The hub's client and open_clip raise many kinds of errors for what is, to the
    # user, one mistake: these weights are not to be had here.
    except (RuntimeError, OSError, ValueError) as error:
        raise ValueError(
            f"the encoder {settings.model} ({settings.pretrained}) cannot be loaded: "
            f"{error}. Without a network, set its `checkpoint` to a file with the "
            "weights, or its `model` to local-dir:FOLDER"
        ) from error
    cfg = model.visual.preprocess_cfg
    height, width = (cfg["size"],) * 2 if isinstance(cfg["size"], int) else cfg["size"]
    return model.visual, Preprocessing(
        height=height,
        width=width,
        resize_mode=cfg["resize_mode"],
        interpolation=cfg["interpolation"],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        fill=cfg["fill_color"],
    )


def _open_clip_weights(open_clip: Any, settings: EncoderSettings) -> dict[str, Any]:
    """Which weights and preprocessing `create_model` is told to use.

    Given a file, open_clip would preprocess as for OpenAI's weights: for SigLIP
    that is the wrong scale of colours and a crop. So the tag always decides.
    """
    if settings.model not in open_clip.list_models():
        raise ValueError(
            f"open_clip has no model {settings.model!r}: see "
            "open_clip.list_models(), or prefix a timm model with `timm:`"
        )
    tag_cfg = open_clip.get_pretrained_cfg(settings.model, settings.pretrained)
    if not tag_cfg:
        tags = open_clip.list_pretrained_tags_by_model(settings.model)
        raise ValueError(
            f"{settings.model} has no weights {settings.pretrained!r}: write "
            f"one of {', '.join(tags)} as `pretrained`"
        )
    keys = ("mean", "std", "interpolation", "resize_mode")
    forced = {key: tag_cfg[key] for key in keys if key in tag_cfg}
    if settings.checkpoint == RANDOM:
        return {"force_preprocess_cfg": forced}
    if settings.checkpoint == HUB:
        return {"force_preprocess_cfg": forced, "pretrained": settings.pretrained}
    file = checkpoint_file(settings)
    return {"force_preprocess_cfg": forced, "pretrained": str(file)}


def _load_timm(settings: EncoderSettings) -> tuple[nn.Module, Preprocessing]:
    """A ViT of timm and the preprocessing of its weights."""
    import_open_clip()  # makes torchvision importable, which timm needs too
    import timm

    name = f"{settings.model.removeprefix('timm:')}.{settings.pretrained}"
    if name not in timm.list_pretrained():
        raise ValueError(
            f"timm has no model and tag {name!r}: see timm.list_pretrained()"
        )
    overlay = None
    if settings.checkpoint not in (HUB, RANDOM):
        overlay = {"file": str(checkpoint_file(settings))}
    try:
        model = timm.create_model(
            name,
            pretrained=settings.checkpoint != RANDOM,
            pretrained_cfg_overlay=overlay,
            img_size=settings.image_size,
            num_classes=0,
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise ValueError(
            f"the encoder {settings.model} ({settings.pretrained}) cannot be loaded: "
            f"{error}. Without a network, set its `checkpoint` to a file"
        ) from error
    cfg = model.pretrained_cfg
    if cfg["crop_mode"] not in ("center", "squash"):
        raise ValueError(f"{name} crops images by {cfg['crop_mode']!r}: not supported")
    return model, Preprocessing(
        height=settings.image_size,
        width=settings.image_size,
        resize_mode="shortest" if cfg["crop_mode"] == "center" else "squash",
        interpolation=cfg["interpolation"],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        crop_pct=cfg["crop_pct"],
    )


def checkpoint_file(settings: EncoderSettings) -> Path:
    """The local file of weights; a clear error where there is none."""
    path = Path(settings.checkpoint)
    if not path.is_file():
        raise ValueError(
            f"the weights of {settings.model} are not at {path}: set `checkpoint` to "
            "the file, or to `hub` to download them"
        )
    return path
