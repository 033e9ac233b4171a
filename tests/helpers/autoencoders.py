"""Autoencoders, and families of them on disk, for tests that measure them."""

import torch
from recorded import TOY

from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_autoencoder(n_latents, width, seed=0, **changes):
    """An autoencoder that learnt nothing; a third of its latents are hard to wake."""
    W_dec_SD = torch.nn.functional.normalize(normal(seed, n_latents, width))
    parts = {
        "W_enc_SD": W_dec_SD + 0.1 * normal(seed + 1, n_latents, width),
        "b_enc_S": 0.3 * normal(seed + 2, n_latents),
        "W_dec_SD": W_dec_SD,
        "b_dec_D": 0.1 * normal(seed + 3, width),
        "mean_D": normal(seed + 4, width),
        "norm": 1.7,
        "threshold_S": torch.zeros(n_latents),
        "l0": None,
    }
    parts["b_enc_S"][::3] -= 3
    return SparseAutoencoder(**{**parts, **changes})


def identity_autoencoder(width, scale=1.0, norm=1.0):
    """Two latents a dimension, its positive and its negative part, times `scale`."""
    both_SD = torch.cat([torch.eye(width), -torch.eye(width)])
    return SparseAutoencoder(
        W_enc_SD=both_SD,
        b_enc_S=torch.zeros(2 * width),
        W_dec_SD=scale * both_SD,
        b_dec_D=torch.zeros(width),
        mean_D=torch.zeros(width),
        norm=norm,
        threshold_S=torch.zeros(2 * width),
        l0=None,
    )


def write_family(folder, autoencoders, family=TOY, **settings):
    """Checkpoints of autoencoders by their run, and their manifest; gives its path."""
    paths = {}
    for run, autoencoder in autoencoders.items():
        paths[run] = folder / f"{run.name}.safetensors"
        checkpoint.save(paths[run], autoencoder, {"seed": run.seed, **settings})
    checkpoint.write_manifest(folder / "checkpoints.json", paths, family)
    return folder / "checkpoints.json"
