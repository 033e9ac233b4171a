"""Load vision transformers, and compute the outputs of their blocks.

Layers are the transformer's blocks, counted from 0: layer 23 is the output of the
last block of a ViT-L, before the final normalisation.
"""

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vitproto.activations.fetched import (
    HUB,
    NO_NETWORK,
    RANDOM,
    find_fetched,
    needs_hub,
    read_fetched,
)
from vitproto.activations.image_file import GreyRange
from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.tags import tag_of_open_clip, tag_of_timm
from vitproto.activations.torchvision_shim import import_open_clip
from vitproto.activations.weights_file import (
    UNREADABLE,
    WEIGHTS,
    check_patches,
    load_image_tower,
    misfit_of_error,
    read_weights,
    without_head,
)
from vitproto.core.bounds import Count, check_bounds


@dataclass(frozen=True)
class EncoderSettings:
    """Which encoder, with which weights."""

    model: str
    """An open_clip name (`ViT-L-16-SigLIP-256`), `hf-hub:OWNER/NAME`,
    `local-dir:FOLDER`, or `timm:NAME` (`timm:vit_base_patch14_reg4_dinov2`)."""
    pretrained: str
    """The tag of the weights (`webli`), which also decides how images are scaled and
    cropped. `own` for `hf-hub:` and `local-dir:`, which hold one set of weights."""
    weights: str
    """Where these weights lie: `hub` (the Hugging Face hub, or the folder of
    `local-dir:`), or a file of your own (`.safetensors`, `.pt`, `.pth`, `.bin`).
    `random` takes random weights instead, as a control."""
    image_size: Count
    """Side of the image that the encoder sees, in pixels."""
    patch_size: Count
    """Side of a patch, in pixels; checked when the encoder is loaded."""
    width: Count
    """Values of a token; checked when the encoder is loaded."""
    n_blocks: Count
    """Number of transformer blocks; checked when the encoder is loaded."""
    fetched: Path | None = None
    """The list that `fetch_weights` wrote, for an encoder that needs the hub."""
    hub_cache: Path | None = None
    """The folder that it fetched to."""

    def __post_init__(self) -> None:
        check_bounds(self)


class LayerActivations(NamedTuple):
    """The output of one block for a batch of images."""

    patches_BPD: Float[Tensor, "b p d"]
    cls_BD: Float[Tensor, "b d"] | None


@dataclass(frozen=True)
class Encoder:
    """A vision transformer with its preprocessing, ready to run.

    Attributes:
        settings: its settings.
        vision: the image tower; has `forward_intermediates`.
        preprocessing: how its input is made from images.
        n_patches: P, the patches of an image.
        n_prefix: tokens before the patches (CLS first, then registers).
        width: D, the number of activations of a token.
        compute_dtype: the type in which CUDA computes; CPUs always compute in float32.
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
        """Compute the outputs of blocks for some images.

        Args:
            pixels_BCHW: from `Preprocessing.read`, on the encoder's device.
            layers: the blocks, counted from 0.

        Returns:
            The activations of each layer, in float32.
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
        intermediates = self.vision.forward_intermediates(
            images_BCHW,
            indices=ascending,
            stop_early=True,
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        patches = intermediates["image_intermediates"]
        return patches, intermediates.get(
            "image_intermediates_prefix", [None] * len(patches)
        )

    def reading(self, grey_range: GreyRange, most_pixels: int | None) -> "Encoder":
        """The same encoder, reading image files in another way: see `read_image`."""
        how = {"grey_range": grey_range, "most_pixels": most_pixels}
        return replace(self, preprocessing=replace(self.preprocessing, **how))

    def reading_as_recorded(self, attributes: Mapping[str, Any]) -> "Encoder":
        """The same encoder, scaling grey images as it did for a shard.

        Args:
            attributes: the root attributes of the shard, as far as they are known.
        """
        recorded = json.loads(attributes.get("preprocessing", "{}"))
        return self.reading(recorded.get("grey_range", "type"), None)

    def computed_in(self, device: torch.device) -> str:
        """The type in which a device computes activations."""
        return self.compute_dtype if device.type == "cuda" else "float32"

    def attributes(self) -> dict[str, str]:
        """All that determines its activations, as attributes of shards."""
        preprocessing = dataclasses.asdict(self.preprocessing)
        del preprocessing["most_pixels"]  # it refuses images, and changes none
        return {
            "encoder": self.settings.model,
            "pretrained": self.settings.pretrained,
            "weights_digest": self.weights_digest(),
            "preprocessing": json.dumps(preprocessing),
        }

    def to(self, device: torch.device) -> "Encoder":
        """Move the weights, in place, to `device`."""
        self.vision.to(device)
        return self

    def weights_digest(self) -> str:
        """A digest of the weights, the same for every source of them."""
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
        ValueError: the model or tag is unknown, its weights are not available, the
            settings do not fit it, or it lacks a layer.
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
            f"{settings.model} has {len(blocks)} blocks, not n_blocks: "
            f"{settings.n_blocks}: write n_blocks: {len(blocks)}"
        )
    if lacking := [layer for layer in layers if not 0 <= layer < len(blocks)]:
        raise ValueError(
            f"{settings.model} has layers 0 to {len(blocks) - 1}, not {lacking}: "
            "write others in `layers`"
        )
    if preprocessing.height != preprocessing.width:
        raise ValueError(
            f"{settings.model} takes images of {preprocessing.width} × "
            f"{preprocessing.height} pixels: choose an encoder with square images"
        )
    if preprocessing.height != settings.image_size:
        raise ValueError(
            f"{settings.model} takes images of {preprocessing.height} pixels, not "
            f"image_size: {settings.image_size}: write image_size: "
            f"{preprocessing.height}"
        )
    # A native CLIP tower always has a CLS token, even if it uses average pooling.
    if hasattr(trunk, "blocks"):
        n_patches, n_prefix = trunk.patch_embed.num_patches, trunk.num_prefix_tokens
        width, patch = trunk.embed_dim, trunk.patch_embed.patch_size
    else:
        n_patches, n_prefix = math.prod(trunk.grid_size), 1
        width, patch = trunk.conv1.out_channels, trunk.conv1.kernel_size
    if tuple(patch) != (settings.patch_size, settings.patch_size):
        raise ValueError(
            f"{settings.model} has patches of {patch[0]} × {patch[1]} pixels, not "
            f"patch_size: {settings.patch_size}: write patch_size: {patch[0]}"
        )
    if width != settings.width:
        raise ValueError(
            f"{settings.model} has tokens of width {width}, not width: "
            f"{settings.width}: write width: {width}"
        )
    return Encoder(
        settings, vision, preprocessing, n_patches, n_prefix, width, compute_dtype
    )


def _load_open_clip(settings: EncoderSettings) -> tuple[nn.Module, Preprocessing]:
    """An image tower of open_clip and its preprocessing."""
    open_clip = import_open_clip()
    name, options = settings.model, {}
    if not name.startswith(("hf-hub:", "local-dir:")):
        options = _open_clip_preprocessing(open_clip, settings)
    files = _hub_files(settings)
    if name.startswith("hf-hub:"):
        # The cache has a folder for each commit of a repository.
        name = f"local-dir:{files[0].parent}"
    is_own = name.startswith("local-dir:") and not files
    has_weights = is_own and settings.weights == HUB
    try:
        with nullcontext() if has_weights else _no_warnings():
            model = open_clip.create_model(
                name,
                load_weights=has_weights,
                require_pretrained=has_weights,
                pretrained_text=False,
                **options,
            )
        if files and settings.weights == HUB:
            open_clip.load_checkpoint(model, str(files[-1]))
    # Readers of weights raise many types of errors. For the user they mean the same:
    # the weights are not available here.
    except UNREADABLE as error:
        if has_weights:
            _name_bad_weights(Path(name.removeprefix("local-dir:")), settings, error)
        raise ValueError(
            f"the encoder {settings.model} ({settings.pretrained}) cannot be loaded: "
            f"{error}. {NO_NETWORK}"
        ) from error
    if settings.weights not in (HUB, RANDOM):
        load_image_tower(model.visual, file_of_weights(settings), settings.model)
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


def _name_bad_weights(
    folder: Path, settings: EncoderSettings, error: Exception
) -> None:
    """Raise an error that names the weights in a folder, if they are to blame."""
    files = [path for path in sorted(folder.glob("*")) if path.suffix in WEIGHTS]
    for file in files:
        read_weights(file)
    if len(files) == 1:
        raise misfit_of_error(files[0], settings.model, error) from error


def _open_clip_preprocessing(
    open_clip: Any, settings: EncoderSettings
) -> dict[str, Any]:
    """The preprocessing of the tag, as options for `create_model`.

    With a file of weights, open_clip would use the preprocessing of OpenAI's weights:
    for SigLIP that means wrong colours and a crop. So we always pass the tag's.
    """
    tag_cfg = tag_of_open_clip(settings.model, settings.pretrained)
    of_tag = bool(tag_cfg.get("quick_gelu"))
    of_model = bool(open_clip.get_model_config(settings.model).get("quick_gelu"))
    if of_tag != of_model and settings.weights != RANDOM:
        logging.warning(
            "%s computes %s, but %s was trained with %s: use the open_clip model of "
            "these weights, with or without -quickgelu",
            *(settings.model, _gelu(of_model), settings.pretrained, _gelu(of_tag)),
        )
    keys = ("mean", "std", "interpolation", "resize_mode")
    forced = {key: tag_cfg[key] for key in keys if key in tag_cfg}
    return {"force_preprocess_cfg": forced}


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Suppress the warning that weights are random: they are loaded later."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _gelu(is_quick: bool) -> str:
    return "QuickGELU" if is_quick else "GELU"


def _load_timm(settings: EncoderSettings) -> tuple[nn.Module, Preprocessing]:
    """A ViT of timm and the preprocessing of its weights."""
    tag_cfg = tag_of_timm(settings.model, settings.pretrained)
    import timm

    overlay, file = None, None
    if settings.weights == HUB:
        overlay = {"state_dict": read_weights(_hub_files(settings)[-1])}
    elif settings.weights != RANDOM:
        file = file_of_weights(settings)
        weights = read_weights(file)
        check_patches(weights, settings.patch_size, file, settings.model)
        weights = without_head(weights, tag_cfg.get("classifier"), file)
        # With no classes in model and file, timm requires every weight.
        overlay = {"state_dict": weights, "num_classes": 0, "label_offset": 0}
    try:
        model = timm.create_model(
            f"{settings.model.removeprefix('timm:')}.{settings.pretrained}",
            pretrained=settings.weights != RANDOM,
            pretrained_cfg_overlay=overlay,
            img_size=settings.image_size,
            num_classes=0,
        )
    except UNREADABLE as error:
        if file is not None:
            raise misfit_of_error(file, settings.model, error) from error
        raise ValueError(
            f"the encoder {settings.model} ({settings.pretrained}) cannot be loaded: "
            f"{error}. {NO_NETWORK}"
        ) from error
    cfg = model.pretrained_cfg
    cfg.pop("state_dict", None)  # would keep a second copy of the weights in memory
    if cfg["crop_mode"] not in ("center", "squash"):
        raise ValueError(
            f"{settings.model} crops images by {cfg['crop_mode']!r}, which is not "
            "supported: choose an encoder that crops by 'center' or 'squash'"
        )
    return model, Preprocessing(
        height=settings.image_size,
        width=settings.image_size,
        resize_mode="shortest" if cfg["crop_mode"] == "center" else "squash",
        interpolation=cfg["interpolation"],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        crop_pct=cfg["crop_pct"],
    )


def _hub_files(settings: EncoderSettings) -> list[Path]:
    """The fetched files of an encoder from the hub; empty for others."""
    if not needs_hub(settings.model, settings.weights):
        return []
    if settings.fetched is None or settings.hub_cache is None:
        raise ValueError(
            f"{settings.model} ({settings.pretrained}) needs files of the hub: run "
            "scripts/fetch_weights.py, and pass its list as --fetched and its folder "
            f"as --hub_cache. {NO_NETWORK}"
        )
    fetched = read_fetched(settings.fetched)
    if (fetched.model, fetched.pretrained) != (settings.model, settings.pretrained):
        raise ValueError(
            f"{settings.fetched} lists files of {fetched.model} "
            f"({fetched.pretrained}), not of {settings.model} "
            f"({settings.pretrained}): pass the list of this encoder"
        )
    return find_fetched(settings.fetched, settings.hub_cache)


def file_of_weights(settings: EncoderSettings) -> Path:
    """The local file of weights.

    Raises:
        ValueError: it is missing.
    """
    path = Path(settings.weights)
    if not path.is_file():
        raise ValueError(
            f"the weights of {settings.model} are not at {path}: set `weights` to "
            "their file, or to `hub` to use those of the hub"
        )
    return path
