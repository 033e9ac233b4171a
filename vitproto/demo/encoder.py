"""The demo's encoder: a tiny vision transformer trained on invented birds.

It shows that the pipeline finds traits that an encoder represents. It says nothing
about birds or about larger encoders.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from vitproto.activations.torchvision_shim import import_open_clip


@dataclass(frozen=True)
class DemoEncoder:
    """Architecture and training of the demo's encoder."""

    image_size: int
    """Side of the square to which images are resized, in pixels."""
    patch_size: int
    """Side of a patch, in pixels."""
    width: int
    """Number of activations of a patch."""
    n_layers: int
    """Number of transformer blocks."""
    head_width: int
    """Width of one attention head."""
    n_species: int
    """Invented species to train on."""
    n_images_per_species: int
    """Pictures of each species to train on."""
    drawing_size: int
    """Longer side of the drawn pictures, in pixels, before they are resized."""
    corpus_seed: int
    """Determines the species; must differ from the seeds of the demo's data sets."""
    batch_size: int
    """Number of images per step."""
    n_steps: int
    """Number of training steps."""
    n_warmup: int
    """Steps of linear warm-up of the learning rate, before a cosine decay."""
    learning_rate: float
    """The highest learning rate (AdamW)."""
    weight_decay: float
    """Weight decay of AdamW."""
    patch_weight: float
    """Weight of the patches' cross-entropy beside the traits' (1)."""
    seed: int
    """Determines the initial weights and the order of images."""


class Corpus(NamedTuple):
    """Training images as the encoder sees them, with their labels."""

    pixels_NCHW: UInt8[Tensor, "n 3 h w"]
    shows_NT: Bool[Tensor, "n t"]
    """Traits that can be seen in each image."""
    patches_NPR: UInt8[Tensor, "n p r"]
    """Number of pixels of each patch that show each region."""


class Trained(NamedTuple):
    """A trained open_clip model and the loss of every step."""

    model: nn.Module
    losses: list[float]


def open_clip_config(cfg: DemoEncoder) -> dict[str, Any]:
    """The `open_clip_config.json` of this architecture.

    open_clip requires a text tower: it has one block of width 1, and is not used.
    Average pooling, because only patches are recorded: a CLS token would collect
    information that should stay in them.
    """
    return {
        "model_cfg": {
            "embed_dim": 1,
            "vision_cfg": {
                "image_size": cfg.image_size,
                "layers": cfg.n_layers,
                "width": cfg.width,
                "head_width": cfg.head_width,
                "patch_size": cfg.patch_size,
                "pool_type": "avg",
            },
            "text_cfg": {
                "context_length": 1,
                "vocab_size": 2,
                "width": 1,
                "heads": 1,
                "layers": 1,
            },
        },
        "preprocess_cfg": {
            "size": [cfg.image_size, cfg.image_size],
            "mode": "RGB",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def build(cfg: DemoEncoder) -> nn.Module:
    """An open_clip model with random weights; the same for the same seed."""
    open_clip = import_open_clip()
    model_cfg = open_clip_config(cfg)["model_cfg"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        return open_clip.model.CLIP(**model_cfg, output_dict=True)


def patch_activations(
    model: nn.Module, pixels_BCHW: UInt8[Tensor, "b 3 h w"]
) -> Float[Tensor, "b p d"]:
    """The output of the last block for each patch, without the CLS token."""
    images_BCHW = pixels_BCHW.float() / 127.5 - 1
    last = len(model.visual.transformer.resblocks) - 1
    outputs = model.visual.forward_intermediates(
        images_BCHW, indices=[last], intermediates_only=True, output_fmt="NLC"
    )
    return outputs["image_intermediates"][0]


def train(
    cfg: DemoEncoder,
    corpus: Corpus,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Trained:
    """Train the encoder to represent traits and regions in its patches.

    A linear map predicts the traits of each patch; an image's traits are a soft maximum
    over patches, as a prototype's image score is a maximum (binary cross-entropy).
    Another linear map predicts the regions of each patch (cross-entropy with their
    shares of its pixels). Both maps are then discarded, so that what they read are
    directions of patch space.

    For the same kind of processor and number of threads, the weights depend only on
    `cfg` and `corpus`.

    Args:
        report: called with each step and its loss.
    """
    model = build(cfg)
    n_traits, n_regions = corpus.shows_NT.shape[1], corpus.patches_NPR.shape[2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        trait_head = nn.Linear(cfg.width, n_traits)
        region_head = nn.Linear(cfg.width, n_regions)
    heads = [*trait_head.parameters(), *region_head.parameters()]
    optimizer = torch.optim.AdamW(
        [*model.visual.parameters(), *heads],
        lr=cfg.learning_rate,
        weight_decay=cfg.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _learning_rate(step, cfg)
    )
    losses = []
    for step, batch_B in enumerate(_batches(cfg, len(corpus.pixels_NCHW))):
        patches_BPD = patch_activations(model, corpus.pixels_NCHW[batch_B])
        patches_BPD = model.visual.ln_post(patches_BPD)
        traits = F.binary_cross_entropy_with_logits(
            _soft_maximum(trait_head(patches_BPD)), corpus.shows_NT[batch_B].float()
        )
        share_BPR = corpus.patches_NPR[batch_B].float() / cfg.patch_size**2
        regions = F.cross_entropy(
            region_head(patches_BPD).flatten(0, 1), share_BPR.flatten(0, 1)
        )
        loss = traits + cfg.patch_weight * regions
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        report(step, losses[-1])
    return Trained(model.eval(), losses)


def _soft_maximum(logits_BPT: Float[Tensor, "b p t"]) -> Float[Tensor, "b t"]:
    """Log of the mean of the exponentials over patches."""
    return logits_BPT.logsumexp(dim=1) - math.log(logits_BPT.shape[1])


def _learning_rate(step: int, cfg: DemoEncoder) -> float:
    """The learning rate relative to its maximum: linear warm-up, then half a cosine."""
    warm = (step + 1) / max(1, cfg.n_warmup)
    done = (step - cfg.n_warmup) / max(1, cfg.n_steps - cfg.n_warmup)
    return min(warm, 0.5 * (1 + np.cos(np.pi * min(1.0, max(0.0, done)))))


def _batches(cfg: DemoEncoder, n_images: int) -> list[Int[Tensor, " b"]]:
    """The images of each step: every image once before any is repeated."""
    generator = torch.Generator().manual_seed(cfg.seed)
    n_needed = cfg.n_steps * cfg.batch_size
    n_rounds = -(-n_needed // n_images)
    order = torch.cat(
        [torch.randperm(n_images, generator=generator) for _ in range(n_rounds)]
    )
    return list(order[:n_needed].split(cfg.batch_size))


def region_counts(
    regions_HW: UInt8[np.ndarray, "h w"], patch_size: int, n_regions: int
) -> UInt8[np.ndarray, "p r"]:
    """Number of pixels of each patch that show each region; patches row by row."""
    h, w = regions_HW.shape
    rows, columns = h // patch_size, w // patch_size
    patches_PX = (
        regions_HW.reshape(rows, patch_size, columns, patch_size)
        .transpose(0, 2, 1, 3)
        .reshape(rows * columns, -1)
    )
    counts_PR = (patches_PX[:, :, None] == np.arange(n_regions)).sum(axis=1)
    return counts_PR.astype(np.uint8)
