"""Edits that suppress the latents of a class, and controls of the same length.

P patches, D width, S latents of the autoencoder, J latents of the class, C classes, O
doses, K kinds of edits: the class's latents, each draw of each control, and the class's
direction. E edits: a kind at a dose.

Let f be the latents of a patch. On every patch, the latents j of the class become

    f′_j = dose × f_j                                         for doses from 0 to 1
    f′_j = dose × the largest value of latent j in training   for doses up to 0

and the activation becomes

    x′ = x + dec(f′) - dec(f) = x + e,    e = Σ_j (f′_j - f_j) · v_j

with v_j = norm · W_dec,j. So the autoencoder's error stays in x′. Let a = |e| be the
length of a patch's edit. Each control edits the patch by a vector of the same length in
another direction:

    random_latents, frequent_latents, random_directions, other_class: a · s / |s|
        with s = Σ_j (f′_j - f_j) · w_j
    class_direction: -a · u

where w_j are the decoder's rows of other latents, or Gaussian directions of length 1.
`frequent_latents` draws each w_j among the latents that are active about as often as
latent j. u is the direction in which the class's logit rises most over the mean of all.
If s is 0 and a is not, the control's edit is a · w_1 / |w_1|.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from vitproto.core.bounds import Below, Count, Index, Items, check_bounds
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.segmentation.suppression.terms import EDITS, Edit

CONTROLS = EDITS[1:]

N_NEAREST = 50
"""The latents whose frequency is nearest to that of a latent of the class, among which
`frequent_latents` draws."""

_CANCELS = 1e-12
"""Parts cancel if their sum is shorter than this share of them: it is rounding error.
"""


Dose = Annotated[float, Below(1)]
"""How much latents are suppressed; the smaller, the more. 1 would leave them alone."""


@dataclass(frozen=True)
class SuppressionSettings:
    """How much latents are suppressed, and what this is compared with."""

    doses: Annotated[tuple[Dose, ...], Items(least=1, different=True)]
    """How much the latents of a class are suppressed on all patches: 0.5 halves each
    value, 0 sets it to zero, −0.5 to −0.5 × the latent's largest value on training
    images."""
    n_draws: Count
    """Draws of each random control; fewer where there is less to draw from."""
    seed: Index
    """Decides the draws of controls."""

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Activity:
    """The activity of an autoencoder's latents on the training images."""

    n_active_S: Int64[np.ndarray, " s"]
    """The number of patches that activate a latent."""
    largest_S: Float64[np.ndarray, " s"]
    """The largest value of a latent on any patch."""

    @property
    def is_active_S(self) -> Bool[np.ndarray, " s"]:
        """Whether any patch activates a latent."""
        return self.n_active_S > 0


class Sized(NamedTuple):
    """The edits of an image's patches, as coefficients of the directions."""

    length_OP: Float64[Tensor, "o p"]
    """The length of each patch's edit, in units of activations; equal for all kinds."""
    coefficients_KOPJ: Float32[Tensor, "k o p j"]
    """The edit of kind k is coefficients · directions, a product over J."""


@dataclass(frozen=True)
class ClassEdits:
    """All kinds of edits for one class; `sized` applies them to an image."""

    label: int
    latents_J: tuple[int, ...]
    """The latents of the class, whose values `sized` takes."""
    dead: tuple[int, ...]
    """Those of them that no training patch activates."""
    kinds_K: tuple[Edit, ...]
    """In the order of `EDITS`; a control occurs once per draw."""
    doses_O: Float64[Tensor, " o"]
    largest_J: Float64[Tensor, " j"]
    """The largest value of each latent in training."""
    directions_KJD: Float32[Tensor, "k j d"]
    triangles_KRJ: Float64[Tensor, "k r j"]
    """The directions in an orthonormal basis of their span: R of the QR decomposition
    of their columns. Lengths are the same, without products of width D."""

    def draws_of(self, edit: Edit) -> list[int]:
        """The indices of the kinds that are draws of an edit."""
        return [k for k, kind in enumerate(self.kinds_K) if kind == edit]

    def sized(self, latents_PJ: Float32[Tensor, "p j"]) -> Sized:
        """The edits of an image, from its patches' latents of the class.

        Computed in float64. If no latent of a patch changes, its edits are exactly 0.
        """
        change_OPJ = change_latents(latents_PJ.double(), self.doses_O, self.largest_J)
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
    """Make all kinds of edits for one class.

    Draws depend on the seed, the class's label, the control and the number of the draw.
    They do not depend on the latents of other classes, except in `other_class`.

    Args:
        label: the label of the class, 1 to C.
        latents_of: the chosen latents of each class by label, one or more.
        autoencoder: on the CPU.
        activity: the activity of its latents in training.
        direction_D: the direction along which the class's logit rises most, of any
            length. If it is 0 or NaN, the class has no `class_direction`.
        n_classes: C, the classes of the data set, with latents or without.
        cfg: doses, draws and seed.
    """
    own_J = list(latents_of[label])
    n_own, width = len(own_J), autoencoder.width
    kinds: list[tuple[Edit, Tensor]] = [("latents", _rows(autoencoder, own_J))]

    free = _free_latents(own_J, autoencoder, activity)
    if free:
        for draw in range(cfg.n_draws):
            drawn = _rng(cfg, label, "random_latents", draw).permutation(free)
            # If there are fewer than J, some occur more than once.
            rows_JD = _rows(autoencoder, np.resize(drawn, n_own).tolist())
            kinds.append(("random_latents", rows_JD))
        for draw in range(cfg.n_draws):
            rng = _rng(cfg, label, "frequent_latents", draw)
            drawn_J = _draw_as_frequent(own_J, np.array(free), activity, rng)
            kinds.append(("frequent_latents", _rows(autoencoder, drawn_J)))

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

    # Lengths are computed from directions rounded to float32, as they are used.
    directions_KJD = torch.stack([rows_JD.float() for _, rows_JD in kinds])
    columns_KDJ = directions_KJD.double().transpose(1, 2)
    return ClassEdits(
        label=label,
        latents_J=tuple(own_J),
        dead=tuple(i for i in own_J if not activity.is_active_S[i]),
        kinds_K=tuple(kind for kind, _ in kinds),
        doses_O=torch.tensor(cfg.doses, dtype=torch.float64),
        largest_J=torch.from_numpy(activity.largest_S[own_J]),
        directions_KJD=directions_KJD,
        triangles_KRJ=torch.linalg.qr(columns_KDJ, mode="r").R,
    )


def change_latents(
    latents_PJ: Float[Tensor, "p j"],
    doses_O: Float[Tensor, " o"],
    largest_J: Float[Tensor, " j"],
) -> Float[Tensor, "o p j"]:
    """f′ - f of the formulas in the module's head."""
    kept_O11 = doses_O.clamp(min=0)[:, None, None]
    target_O1J = doses_O.clamp(max=0)[:, None, None] * largest_J
    return target_O1J - (1 - kept_O11) * latents_PJ


def _free_latents(
    own_J: Sequence[int], autoencoder: SparseAutoencoder, activity: Activity
) -> list[int]:
    """Latents for controls: not the class's, active, with a nonzero decoder row."""
    is_free_S = activity.is_active_S & (autoencoder.W_dec_SD != 0).any(1).numpy()
    is_free_S[own_J] = False
    return np.flatnonzero(is_free_S).tolist()


def _draw_as_frequent(
    own_J: Sequence[int],
    free_F: Int64[np.ndarray, " f"],
    activity: Activity,
    rng: np.random.Generator,
) -> list[int]:
    """Draw, for each latent of the class, another that is active about as often.

    Frequencies are compared by ratio. No latent is drawn twice while others are left.
    """
    log_S = np.log(np.maximum(activity.n_active_S, 1))
    drawn_J: list[int] = []
    for latent in own_J:
        order_F = np.abs(log_S[free_F] - log_S[latent]).argsort(kind="stable")
        nearest = free_F[order_F[:N_NEAREST]]
        unused = nearest[~np.isin(nearest, drawn_J)]
        drawn_J.append(int(rng.choice(unused if len(unused) else nearest)))
    return drawn_J


def _rows(autoencoder: SparseAutoencoder, latents_J: list[int]) -> Tensor:
    """norm · W_dec of some latents, in float64."""
    return autoencoder.norm * autoencoder.W_dec_SD[latents_J].double()


def _rng(
    cfg: SuppressionSettings, label: int, edit: Edit, draw: int
) -> np.random.Generator:
    return np.random.default_rng([cfg.seed, label, EDITS.index(edit), draw])
