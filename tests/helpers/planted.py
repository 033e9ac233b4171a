"""Activations that are sparse sums of known directions, for tests that learn."""

import numpy as np

from vitproto.prototypes.sae.settings import SaeSettings

WIDTH = 24
N_DIRECTIONS = 32
N_ACTIVE = 3


def planted_activations(n_images=2000, n_patches=20, seed=0):
    """`n p d` activations, and the directions (rows of length 1) that they are of."""
    rng = np.random.default_rng(seed)
    directions_JD = rng.standard_normal((N_DIRECTIONS, WIDTH))
    directions_JD /= np.linalg.norm(directions_JD, axis=1, keepdims=True)
    n = n_images * n_patches
    x_MD = np.full((n, WIDTH), 0.7)
    for _ in range(N_ACTIVE):
        chosen_M = rng.integers(N_DIRECTIONS, size=n)
        x_MD += rng.uniform(3, 6, (n, 1)) * directions_JD[chosen_M]
    return x_MD.astype(np.float32).reshape(n_images, n_patches, WIDTH), directions_JD


def share_found(learned_SD, planted_JD):
    """The share of planted directions that some learned one has, by cosine > 0.95."""
    learned_SD = learned_SD / np.linalg.norm(learned_SD, axis=1, keepdims=True)
    return ((planted_JD @ learned_SD.T).max(axis=1) > 0.95).mean()


def sae_settings(**changes) -> SaeSettings:
    """Settings of a small TopK autoencoder, but for some."""
    settings = {
        "activation": "topk",
        "prefixes": "none",
        "n_prefixes": 1,
        "trains": "all",
        "start": "random",
        "scale_mean": True,
        "scale_norm": True,
        "encoder_start": 1.0,
        "n_scaling": 4000,
        "n_patches": 300_000,
        "batch_size": 512,
        "n_mixed": 8000,
        "n_lr_warmup": 20,
        "n_lr_decay": 200,
        "n_sparsity_warmup": 0,
        "l0_weight": 0.0,
        "bandwidth": 0.0,
        "max_gradient_norm": 0.03,
        "n_until_dead": 20_000,
        "n_aux": 8,
        "aux_weight": 1 / 32,
        "stream_seed": 0,
    }
    return SaeSettings(**{**settings, **changes})
