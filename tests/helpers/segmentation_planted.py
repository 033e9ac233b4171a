"""Scenes whose classes are a direction each, for tests that suppress latents.

Ground lies everywhere and is what the probe sees where it sees nothing else; the other
classes are squares of patches on it.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.probes.linear_probe import LinearProbe
from vitproto.segmentation.suppression.edits import Activity, SuppressionSettings
from vitproto.segmentation.suppression.terms import ChosenClass
from vitproto.traits.average_precision import average_precision

CLASSES = ["ground", "tree", "car", "bird", "boat", "ghost", "fog", "unknown"]
GROUND, TREE, CAR, BIRD, BOAT, GHOST, FOG, UNKNOWN = range(1, 9)
"""The masks of the test images show the boat once and the ghost never; the probe never
predicts fog; no training patch shows the unknown."""

GRID, SIDE, WIDTH = (6, 6), 4, 256
N_TRAIN, N_TEST = 16, 14
N_LATENTS = 24
DEAD = 20
"""A latent that no patch activates."""

CFG = SuppressionSettings(doses=(0.0, -2.0), n_draws=3, seed=0)


@dataclass(frozen=True)
class Scene:
    """All that suppression is given."""

    x_NPD: np.ndarray
    labels: PatchLabels
    autoencoder: SparseAutoencoder
    activity: Activity
    probe: LinearProbe
    directions_CD: torch.Tensor
    chosen: list[ChosenClass]

    def with_latents(self, **latents):
        """The same scene, with other latents chosen for the classes named."""
        chosen = [
            replace(one, latents=latents.get(one.name, one.latents), notes=())
            for one in self.chosen
        ]
        return replace(self, chosen=chosen)


def planted_scene(seed=0) -> Scene:
    """A scene in which each class is one direction, and one latent."""
    rng = np.random.default_rng(seed)
    n_images, n_patches, n_classes = N_TRAIN + N_TEST, GRID[0] * GRID[1], len(CLASSES)
    labels_NP = _draw_labels(rng, n_images)
    basis = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0].T
    planted_SD = basis[rng.permutation(N_LATENTS)]
    # Latents 0 to 7, in another order, are of classes; but for one, the rest is found
    # on patches of every class.
    latent_C = rng.permutation(n_classes)
    present_NPS = np.zeros((n_images, n_patches, N_LATENTS))
    is_there_NPS = rng.random(present_NPS.shape) < 0.2
    strength_NPS = rng.uniform(4, 6, present_NPS.shape)
    present_NPS[:] = is_there_NPS * strength_NPS
    present_NPS[..., latent_C] = 0
    present_NPS[..., DEAD] = 0
    for c, latent in enumerate(latent_C):
        shows_NP = labels_NP == c + 1
        present_NPS[shows_NP, latent] = strength_NPS[shows_NP, latent]
    mean_D, norm = rng.standard_normal(WIDTH), 1.5
    noise_NPD = 0.05 * rng.standard_normal((n_images, n_patches, WIDTH))
    x_NPD = (mean_D + norm * (present_NPS @ planted_SD + noise_NPD)).astype(np.float32)

    decoder_SD = torch.from_numpy(planted_SD).float()
    autoencoder = SparseAutoencoder(
        W_enc_SD=decoder_SD.clone(),
        b_enc_S=torch.full((N_LATENTS,), -0.5),
        W_dec_SD=decoder_SD,
        b_dec_D=torch.zeros(WIDTH),
        mean_D=torch.from_numpy(mean_D).float(),
        norm=norm,
        threshold_S=torch.zeros(N_LATENTS),
        l0=None,
    )
    weight_CD = torch.from_numpy(planted_SD[latent_C] / norm)
    bias_C = -weight_CD @ torch.from_numpy(mean_D)
    bias_C[GROUND - 1] += 2
    bias_C[FOG - 1] -= 100
    probe = LinearProbe(weight_CD.float(), bias_C.float())

    latents_NPS = autoencoder(torch.from_numpy(x_NPD[:N_TRAIN]).flatten(0, 1)).numpy()
    activity = Activity(
        n_active_S=(latents_NPS > 0).sum(0),
        largest_S=latents_NPS.max(0).astype(np.float64),
    )
    # Unlabelled patches show nothing that the masks know.
    kept_NP = np.where(rng.random(labels_NP.shape) < 0.05, 0, labels_NP)
    return Scene(
        x_NPD,
        _patch_labels(kept_NP.astype(np.uint16)),
        autoencoder,
        activity,
        probe,
        (weight_CD - weight_CD.mean(0)).float(),
        _find_latents(latents_NPS, labels_NP[:N_TRAIN].ravel()),
    )


def _draw_labels(rng, n_images):
    labels_NRC = np.full((n_images, *GRID), GROUND)
    for i in range(n_images):
        for label in (TREE, CAR, BIRD, FOG):
            _paint(rng, labels_NRC[i], label, 2)
        if i < N_TRAIN:
            _paint(rng, labels_NRC[i], BOAT, 1)
            _paint(rng, labels_NRC[i], GHOST, 1)
    labels_NRC[N_TRAIN + 3, 2:4, 2:4] = BOAT
    labels_NRC[N_TRAIN + 5, 0, 0] = UNKNOWN
    labels_NRC[N_TRAIN + 6, 5, 5] = UNKNOWN
    return labels_NRC.reshape(n_images, -1)


def _paint(rng, labels_RC, label, side):
    row, column = rng.integers(GRID[0] - side + 1, size=2)
    if (labels_RC[row : row + side, column : column + side] == GROUND).all():
        labels_RC[row : row + side, column : column + side] = label


def _patch_labels(labels_NP):
    labels_MRC = labels_NP[N_TRAIN:].reshape(-1, *GRID)
    return PatchLabels(
        image_ids=[f"image{i}" for i in range(len(labels_NP))],
        is_train_N=np.arange(len(labels_NP)) < N_TRAIN,
        classes=CLASSES,
        labels_NP=labels_NP,
        purity_NP=np.ones(labels_NP.shape, np.float32),
        masks_MHW=labels_MRC.repeat(SIDE, 1).repeat(SIDE, 2),
    )


def _find_latents(latents_XS, labels_X):
    """The best latent of each class by AP, on patches of training."""
    is_class_XC = labels_X[:, None] == np.arange(1, len(CLASSES) + 1)
    ap_SC = average_precision(latents_XS, is_class_XC)
    return [
        ChosenClass(c + 1, name, (), ("no training patch of purity ≥ 0.9",))
        if np.isnan(ap_SC[0, c])
        else ChosenClass(c + 1, name, (int(ap_SC[:, c].argmax()),), ())
        for c, name in enumerate(CLASSES)
    ]
