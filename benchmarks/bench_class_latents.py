"""AP and best F1 of sparse latents for classes of patches, against dense ways."""

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve
from timing import Paired, Row, paired, run_alone

from vitproto.segmentation.suppression.detection import Detection, detect
from vitproto.traits.average_precision import average_precision

N, S, C = 100_000, 1024, 150
"""Patches, latents, and classes as in ADE20K."""

DENSITY = 0.02
"""The share of patches on which a latent is active."""
SAMPLE_LATENTS = 128
"""Latents that the dense kernel does; the rest is extrapolated."""
SAMPLE_PAIRS = 20
"""(latent, class) pairs that scikit-learn does; the rest is extrapolated."""


def bench() -> list[Row]:
    class_N, latents_NS = make_patches()
    n_patches_C = np.bincount(class_N, minlength=C)
    i_latent_V, i_patch_V = np.nonzero(latents_NS.T)
    value_V = latents_NS[i_patch_V, i_latent_V]
    class_V = class_N[i_patch_V]
    n_values_S = np.bincount(i_latent_V, minlength=S)
    start_T = np.concatenate([[0], np.cumsum(n_values_S)])

    def ours() -> Detection:
        return detect(start_T, class_V, value_V, n_patches_C)

    found = ours()
    zeros = f"{(latents_NS == 0).mean():.0%} zeros"
    is_class_NC = class_N[:, None] == np.arange(C)
    sample_NS = np.ascontiguousarray(latents_NS[:, :SAMPLE_LATENTS])

    def dense() -> np.ndarray:
        return average_precision(sample_NS, is_class_NC)

    np.testing.assert_array_equal(dense(), found.ap_SC[:SAMPLE_LATENTS])
    against_dense = _row(
        zeros,
        f"AP alone by the peer, on {SAMPLE_LATENTS} latents, × {S // SAMPLE_LATENTS}; "
        "equal to the last bit",
        "average_precision on the dense matrix (ours)",
        _scaled(paired(ours, dense, n_pairs=5), S / SAMPLE_LATENTS),
        "≥ 3 ×",
    )

    rng = np.random.default_rng(1)
    pairs = [(rng.integers(S), rng.integers(C)) for _ in range(SAMPLE_PAIRS)]

    def loop() -> list[tuple[float, float]]:
        return [_scikit_learn(is_class_NC[:, c], latents_NS[:, s]) for s, c in pairs]

    ours_of_pairs = [(found.ap_SC[pair], found.f1_SC[pair]) for pair in pairs]
    worst = np.abs(np.subtract(loop(), ours_of_pairs)).max()
    assert worst < 1e-9, worst
    against_scikit_learn = _row(
        zeros,
        f"both by the peer, on {SAMPLE_PAIRS} pairs, × {S * C / SAMPLE_PAIRS:,.0f}; "
        f"both agree to {max(worst, 1e-16):.0e}",
        "scikit-learn, a loop",
        _scaled(paired(ours, loop, n_pairs=3), S * C / SAMPLE_PAIRS),
        "≥ 1,000 ×",
    )
    return [against_dense, against_scikit_learn]


def make_patches() -> tuple[np.ndarray, np.ndarray]:
    """Classes of very different frequency, and latents of which each has one."""
    rng = np.random.default_rng(0)
    share_C = 1 / np.arange(1, C + 1)
    class_N = rng.choice(C, N, p=share_C / share_C.sum()).astype(np.uint16)
    latents_NS = rng.random((N, S), dtype=np.float32)
    latents_NS -= 1 - DENSITY
    for s in range(S):
        of_class_N = class_N == s % C
        latents_NS[of_class_N, s] += rng.random(of_class_N.sum()) * DENSITY
    return class_N, np.maximum(latents_NS, 0, out=latents_NS)


def _scikit_learn(is_class_N: np.ndarray, score_N: np.ndarray) -> tuple[float, float]:
    """AP and the best F1 of one latent for one class."""
    precision, recall, _ = precision_recall_curve(is_class_N, score_N)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return average_precision_score(is_class_N, score_N), f1.max()


def _row(zeros: str, note: str, peer: str, measured: Paired, aim: str) -> Row:
    return Row(
        work=f"AP and best F1 of latents, {zeros}",
        conditions=f"{N:,} patches of {C} classes × {S:,} latents; {note}",
        ours="vitproto, from non-zeros",
        ours_median=measured.ours_s,
        peer=peer,
        peer_median=measured.peer_s,
        unit="s",
        larger_is_better=False,
        ratio=measured.ratio,
        aim=aim,
    )


def _scaled(measured: Paired, factor: float) -> Paired:
    """What the peer would have taken for all of the work."""
    return Paired(measured.ours_s, measured.peer_s * factor, measured.ratio * factor)


if __name__ == "__main__":
    run_alone(bench)
