"""Test how well patches of the demo's encoder find traits in unseen species.

N images, P patches, D width, K prototypes, T traits, X patches of training images.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from vitproto.demo import encoder as demo_encoder
from vitproto.demo.encoder import Corpus, DemoEncoder
from vitproto.demo.encoder_corpus import draw_corpus

AveragePrecision = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""The AP of K prototypes for T traits, from scores N × K and labels N × T."""


N_PROTOTYPES = 512
"""Random patches of training images."""
N_SPECIES, N_IMAGES_PER_SPECIES = 50, 40
"""Unseen species, and images of each. The even images choose a prototype for each
trait, the odd ones score it."""


def draw_training(cfg: DemoEncoder, n_workers: int) -> Corpus:
    """Draw the images that the encoder is trained on."""
    size = (cfg.n_species, cfg.n_images_per_species)
    return _draw(cfg, cfg.corpus_seed, size, n_workers)


def draw_unseen(cfg: DemoEncoder, n_workers: int) -> Corpus:
    """Draw images of species that the encoder never saw."""
    size = (N_SPECIES, N_IMAGES_PER_SPECIES)
    return _draw(cfg, cfg.corpus_seed + 1, size, n_workers)


def random_prototype_map(
    model: nn.Module,
    corpus: Corpus,
    unseen: Corpus,
    average_precision: AveragePrecision,
) -> float:
    """Measure the mAP of random patches as prototypes.

    Args:
        model: an open_clip model.
        corpus: images whose patches are prototypes.
        unseen: images of other species.
        average_precision: computes APs.
    """
    every = len(corpus.pixels_NCHW) // 1000
    patches_XD = _activations(model, corpus.pixels_NCHW[::every]).flatten(0, 1)
    generator = torch.Generator().manual_seed(0)
    order_X = torch.randperm(len(patches_XD), generator=generator)
    prototypes_KD = patches_XD[order_X[:N_PROTOTYPES]]
    patches_NPD = _activations(model, unseen.pixels_NCHW)
    scores_NK = (patches_NPD @ prototypes_KD.T).amax(dim=1).numpy()
    shows_NT = unseen.shows_NT.numpy()[:, _in_both_halves(unseen)]
    best_T = average_precision(scores_NK[::2], shows_NT[::2]).argmax(axis=0)
    ap_KT = average_precision(scores_NK[1::2], shows_NT[1::2])
    return round(float(ap_KT[best_T, np.arange(len(best_T))].mean()), 3)


def chance_map(unseen: Corpus) -> float:
    """Compute what constant scores reach: the mean prevalence in the odd images."""
    prevalence_T = unseen.shows_NT[1::2].float().mean(0)
    return round(float(prevalence_T[_in_both_halves(unseen)].mean()), 3)


def _in_both_halves(unseen: Corpus) -> torch.Tensor:
    """Find the traits that both an even and an odd image show."""
    return unseen.shows_NT[::2].any(0) & unseen.shows_NT[1::2].any(0)


def _draw(cfg: DemoEncoder, seed: int, size: tuple[int, int], n_workers: int) -> Corpus:
    return draw_corpus(
        seed=seed,
        n_species=size[0],
        n_images_per_species=size[1],
        drawing_size=cfg.drawing_size,
        image_size=cfg.image_size,
        patch_size=cfg.patch_size,
        n_workers=n_workers,
    )


@torch.inference_mode()
def _activations(model: nn.Module, pixels_NCHW: torch.Tensor) -> torch.Tensor:
    parts = [demo_encoder.patch_activations(model, x) for x in pixels_NCHW.split(256)]
    return torch.cat(parts)
