"""Edits that suppress the latents of a class, and controls of the same length.

P patches, D width, S latents of the autoencoder, J latents of the class, C classes, O
doses. K counts kinds of edits: the class's latents, each draw of each control, and the
class's direction. E counts a kind at a dose.

The autoencoder stays as it is. Where its latents are f and the class's are set to
f′_j = dose × the largest value seen of latent j, on every patch, an activation becomes

    x′ = x + dec(f′) - dec(f) = x + e,    e = Σ_j (f′_j - f_j) · v_j

with v_j = norm · W_dec,j. So what the autoencoder leaves unexplained stays in x′. The
length |e| of a patch's edit is a, and each control edits the patch by a vector of that
length in another direction:

    random_latents, random_directions, other_class: a · s / |s|
        with s = Σ_j (f′_j - f_j) · w_j
    class_direction: -a · u

where w_j are the decoder's rows of other latents, or Gaussian directions of length 1,
and u is the direction in which the class's logit rises most over the mean of all.
Where s is 0 though a is not, the control takes a · w_1 / |w_1|.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from vitproto.core.bounds import Count, Index, Items, check_bounds
from vitproto.prototypes.autoencoder import SparseAutoencoder

Edit = Literal[
    "latents", "random_latents", "random_directions", "other_class", "class_direction"
]
EDITS: tuple[Edit, ...] = get_args(Edit)
"""In the order of the tables."""
CONTROLS = EDITS[1:]

_CANCELS = 1e-12
"""A sum this much shorter than its parts is rounding error: there the parts cancel."""


@dataclass(frozen=True)
class SuppressionSettings:
    """What latents are set to, and what this is compared with."""

    doses: Annotated[tuple[float, ...], Items(least=1, different=True)]
    """What each latent is set to on all patches, in multiples of its largest value on
    training images; 0 sets it to zero."""
    n_draws: Count
    """Draws of each random control; fewer where there is less to draw from."""
    n_resamples: Count
    """Resamples of the test images for the intervals."""
    seed: Index
    """Decides the draws of controls and the resamples."""

    def __post_init__(self) -> None:
        check_bounds(self)
        if not np.isfinite(self.doses).all():
            raise ValueError(f"doses are {list(self.doses)}: write finite numbers")


@dataclass(frozen=True)
class Activity:
    """What the latents of an autoencoder did on the training images."""

    is_active_S: Bool[np.ndarray, " s"]
    """Whether any patch activates a latent."""
    largest_S: Float64[np.ndarray, " s"]
    """The largest value of a latent on any patch."""


class Sized(NamedTuple):
    """The edits of an image's patches, as what to multiply directions with."""

    length_OP: Float64[Tensor, "o p"]
    """Of each patch's edit, in units of activations: that of all kinds."""
    coefficients_KOPJ: Float32[Tensor, "k o p j"]
    """The edit of kind k is coefficients · directions, a product over J."""


@dataclass(frozen=True)
class ClassEdits:
    """All kinds of edits for one class; those of one image come from `sized`."""

    label: int
    latents_J: tuple[int, ...]
    """The class's own, whose values `sized` is given."""
    dead: tuple[int, ...]
    """Those of them that no training patch activates."""
    kinds_K: tuple[Edit, ...]
    """Draws of a control stand together, in the order of `EDITS`."""
    targets_OJ: Float64[Tensor, "o j"]
    """What each dose sets each latent to."""
    directions_KJD: Float32[Tensor, "k j d"]
    triangles_KRJ: Float64[Tensor, "k r j"]
    """The directions in a basis of their own, which keeps lengths: R of the QR
    decomposition of their columns. So lengths need no product of width D."""

    def draws_of(self, edit: Edit) -> list[int]:
        """Which kinds are draws of an edit?"""
        return [k for k, kind in enumerate(self.kinds_K) if kind == edit]

    def sized(self, latents_PJ: Float32[Tensor, "p j"]) -> Sized:
        """The edits of an image whose patches have these latents of the class.

        Computed in float64. Where no latent changes, a patch's edits are exactly 0.
        """
        change_OPJ = self.targets_OJ[:, None] - latents_PJ.double()
        sum_KOPR = change_OPJ @ self.triangles_KRJ.transpose(1, 2)[:, None]
        sum_KOP = sum_KOPR.norm(dim=-1)
        size_KJ = self.triangles_KRJ.norm(dim=1)
        parts_KOP = torch.einsum("opj,kj->kop", change_OPJ.abs(), size_KJ)
        cancels_KOP = sum_KOP <= _CANCELS * parts_KOP
        length_OP = sum_KOP[0].masked_fill(cancels_KOP[0], 0)

        scale_KOP = length_OP / sum_KOP.masked_fill(cancels_KOP, 1)
        scale_KOP[0] = 1  # the edit itself, to the last bit
        coefficients_KOPJ = change_OPJ * scale_KOP[..., None]
        first_KOPJ = torch.zeros_like(coefficients_KOPJ)
        first_KOPJ[..., 0] = length_OP / size_KJ[:, :1, None]
        is_first_KOP = cancels_KOP.clone()
        is_first_KOP[0] = False
        is_first_KOP[self.draws_of("class_direction")] = True
        chosen_KOPJ = torch.where(
            is_first_KOP[..., None], first_KOPJ, coefficients_KOPJ
        )
        return Sized(length_OP, chosen_KOPJ.float())


def class_edits(
    label: int,
    latents_of: Mapping[int, Sequence[int]],
    autoencoder: SparseAutoencoder,
    activity: Activity,
    direction_D: Float[Tensor, " d"],
    n_classes: int,
    cfg: SuppressionSettings,
) -> ClassEdits:
    """All kinds of edits for one class.

    What is drawn depends on the seed, the class's label, the control and the draw. It
    stays when other classes have no latents, but for the draws of `other_class` that
    took those.

    Args:
        label: of the class, 1 to C.
        latents_of: the chosen latents of each class by label, one or more.
        autoencoder: on the CPU.
        activity: of its latents in training.
        direction_D: along which the class's logit rises most; of any length. If it is
            0 or NaN, the class has no `class_direction`.
        n_classes: C, of the data set, whether they have latents or not.
        cfg: doses, draws and seed.
    """
    own_J = list(latents_of[label])
    n_own, width = len(own_J), autoencoder.width
    kinds: list[tuple[Edit, Tensor]] = [("latents", _rows(autoencoder, own_J))]

    free = _free_latents(own_J, autoencoder, activity)
    if free:
        for draw in range(cfg.n_draws):
            drawn = _rng(cfg, label, "random_latents", draw).permutation(free)
            # With fewer than J, some stand there more than once.
            rows_JD = _rows(autoencoder, np.resize(drawn, n_own).tolist())
            kinds.append(("random_latents", rows_JD))

    for draw in range(cfg.n_draws):
        rng = _rng(cfg, label, "random_directions", draw)
        normal_JD = torch.from_numpy(rng.standard_normal((n_own, width)))
        kinds.append(("random_directions", normal_JD / normal_JD.norm(dim=1)[:, None]))

    usable = set(free)
    order = _rng(cfg, label, "other_class", 0).permutation(n_classes) + 1
    rows_of = {
        other: [latent for latent in latents_of.get(other, ()) if latent in usable]
        for other in order.tolist()
        if other != label
    }
    drawable = [latents for latents in rows_of.values() if latents]
    kinds += [
        ("other_class", _rows(autoencoder, np.resize(latents, n_own).tolist()))
        for latents in drawable[: cfg.n_draws]
    ]

    length = direction_D.double().norm()
    if length > 0:
        ceiling_JD = torch.zeros(n_own, width, dtype=torch.float64)
        ceiling_JD[0] = -direction_D.double() / length
        kinds.append(("class_direction", ceiling_JD))

    largest_J = torch.from_numpy(activity.largest_S[own_J])
    # What is used is rounded to float32, so lengths are those of the rounded ones.
    directions_KJD = torch.stack([rows_JD.float() for _, rows_JD in kinds])
    columns_KDJ = directions_KJD.double().transpose(1, 2)
    return ClassEdits(
        label=label,
        latents_J=tuple(own_J),
        dead=tuple(i for i in own_J if not activity.is_active_S[i]),
        kinds_K=tuple(kind for kind, _ in kinds),
        targets_OJ=torch.tensor(cfg.doses, dtype=torch.float64)[:, None] * largest_J,
        directions_KJD=directions_KJD,
        triangles_KRJ=torch.linalg.qr(columns_KDJ, mode="r").R,
    )


def _free_latents(
    own_J: Sequence[int], autoencoder: SparseAutoencoder, activity: Activity
) -> list[int]:
    """Latents that are not the class's, active in training, and have a direction."""
    is_free_S = activity.is_active_S & (autoencoder.W_dec_SD != 0).any(1).numpy()
    is_free_S[own_J] = False
    return np.flatnonzero(is_free_S).tolist()


def _rows(autoencoder: SparseAutoencoder, latents_J: list[int]) -> Tensor:
    """norm · W_dec of some latents, in float64."""
    return autoencoder.norm * autoencoder.W_dec_SD[latents_J].double()


def _rng(
    cfg: SuppressionSettings, label: int, edit: Edit, draw: int
) -> np.random.Generator:
    return np.random.default_rng([cfg.seed, label, EDITS.index(edit), draw])
