"""Average precision of all prototypes × all traits, against what one would use else."""

import warnings

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from timing import Paired, Row, paired, run_alone

from vitproto.traits.average_precision import average_precision
from vitproto.traits.resampled_ap import draw_counts, resample_ap
from vitproto.traits.subsets import nested_order

N, K, T = 5_794, 8_192, 312
"""Images of the CUB-200-2011 test split, prototypes of the largest run, traits."""

N_CLASSES = 200
N_RESAMPLES, N_METHODS = 1_000, 20
"""Resamples of test images, and methods, each with a prototype for each trait."""
SUBSETS = (16, 64, 256, 1024)
SAMPLE_PAIRS = 100
"""(prototype, trait) pairs that scikit-learn does; the rest is extrapolated."""
SAMPLE_COLUMNS = 64
"""Prototypes that torch does; the rest is extrapolated."""
BLOCK = 32
"""Prototypes that torch ranks at once: 230 MB a float32 buffer."""


def bench() -> list[Row]:
    labels_NT, dense_NK = make_study()
    zeros_NK = np.maximum(dense_NK - np.quantile(dense_NK[:, :64], 0.9), 0)
    cases = {"no ties": dense_NK, f"{(zeros_NK == 0).mean():.0%} zeros": zeros_NK}
    rows = []
    for name, scores_NK in cases.items():
        rows.append(_against_scikit_learn(name, scores_NK, labels_NT))
        rows += _against_torch(name, scores_NK, labels_NT)
    measured = paired(
        lambda: average_precision(zeros_NK, labels_NT),
        lambda: average_precision(dense_NK, labels_NT),
        n_pairs=7,
    )
    rows.append(
        _row("zeros against no ties", "ours both", "ours, no ties", measured, "≥ 2 ×")
    )
    rows.append(_five_sizes(dense_NK, labels_NT))
    for name, scores_NK in cases.items():
        rows.append(_resamples(name, scores_NK, labels_NT))
    return rows


def make_study() -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores like CUB's: images by class, traits and scores go with class.

    Prevalences spread from 0.3 % to 50 % around a mean of 10 %.
    """
    rng = np.random.default_rng(0)
    class_N = np.sort(rng.integers(0, N_CLASSES, N))
    prevalence_T = np.exp(rng.uniform(np.log(0.003), np.log(0.5), T))
    prevalence_T = np.clip(prevalence_T * 0.1 / prevalence_T.mean(), 0.003, 0.5)
    shape = 0.5 * prevalence_T, 0.5 * (1 - prevalence_T)
    propensity_CT = rng.beta(*shape, (N_CLASSES, T))
    labels_NT = rng.random((N, T)) < propensity_CT[class_N]
    scores_NK = rng.standard_normal((N, K), dtype=np.float32)
    scores_NK += rng.standard_normal((N_CLASSES, K), dtype=np.float32)[class_N]
    return labels_NT, scores_NK


def _against_scikit_learn(
    name: str, scores_NK: np.ndarray, labels_NT: np.ndarray
) -> Row:
    """A loop over pairs, timed on some of them; both must agree to 1e-6."""
    rng = np.random.default_rng(1)
    shown = np.flatnonzero(labels_NT.any(axis=0))
    pairs = [(rng.integers(K), rng.choice(shown)) for _ in range(SAMPLE_PAIRS)]

    def loop() -> list[float]:
        return [
            average_precision_score(labels_NT[:, t], scores_NK[:, k]) for k, t in pairs
        ]

    ap_KT = average_precision(scores_NK, labels_NT)
    worst = max(
        abs(ap_KT[pair] - peer) for pair, peer in zip(pairs, loop(), strict=True)
    )
    assert worst < 1e-6, worst
    measured = paired(lambda: average_precision(scores_NK, labels_NT), loop, n_pairs=5)
    return _row(
        name,
        f"scikit-learn timed on {SAMPLE_PAIRS} pairs, × {K * T / SAMPLE_PAIRS:,.0f}; "
        f"both agree to {max(worst, 1e-16):.0e}",
        "scikit-learn, a loop",
        _scaled(measured, K * T / SAMPLE_PAIRS),
        "≥ 1,000 ×",
    )


def _against_torch(
    name: str, scores_NK: np.ndarray, labels_NT: np.ndarray
) -> list[Row]:
    """Sort and gather, which breaks ties by place: right only where there are none."""
    scores = torch.from_numpy(scores_NK[:, :SAMPLE_COLUMNS].copy())
    labels = torch.from_numpy(labels_NT.astype(np.float32))
    ap_KT = average_precision(scores_NK, labels_NT)
    peers = (
        (f"torch, {BLOCK} prototypes at once", sort_and_gather, "≥ 150 ×"),
        ("torch, one prototype at a time, buffers reused", sort_and_gather_reusing, ""),
    )
    rows = []
    for peer, function, aim in peers:
        ap_of_peer_CT = function(scores, labels).numpy()
        worst = np.nanmax(np.abs(ap_of_peer_CT - ap_KT[:SAMPLE_COLUMNS]))
        assert worst < 1e-4 or name != "no ties", worst
        measured = paired(
            lambda: average_precision(scores_NK, labels_NT),
            lambda function=function: function(scores, labels),
            n_pairs=3,
        )
        rows.append(
            _row(
                name,
                f"torch timed on {SAMPLE_COLUMNS} prototypes, × {K // SAMPLE_COLUMNS}; "
                f"its ties are wrong: AP off by up to {worst:.0e}",
                peer,
                _scaled(measured, K / SAMPLE_COLUMNS),
                aim,
            )
        )
    return rows


def sort_and_gather(scores_NK: torch.Tensor, labels_NT: torch.Tensor) -> torch.Tensor:
    """As most write it: rank some prototypes, gather the labels, cumulate."""
    rank_N11 = torch.arange(1, len(scores_NK) + 1)[:, None, None]
    parts = []
    for block_NK in scores_NK.split(BLOCK, dim=1):
        hits_NKT = labels_NT[block_NK.argsort(dim=0, descending=True)]
        precision_NKT = hits_NKT.cumsum(dim=0) / rank_N11
        parts.append((precision_NKT * hits_NKT).sum(dim=0) / labels_NT.sum(dim=0))
    return torch.cat(parts)


def sort_and_gather_reusing(
    scores_NK: torch.Tensor, labels_NT: torch.Tensor
) -> torch.Tensor:
    """The fastest in torch that we found: buffers that fit the cache, nothing new."""
    order_KN = scores_NK.T.contiguous().argsort(dim=1, descending=True)
    inverse_N1 = 1 / torch.arange(1, len(scores_NK) + 1)[:, None]
    hits_NT, precision_NT = torch.empty_like(labels_NT), torch.empty_like(labels_NT)
    ap_KT = torch.empty(scores_NK.shape[1], labels_NT.shape[1])
    for k, order_N in enumerate(order_KN):
        torch.index_select(labels_NT, 0, order_N, out=hits_NT)
        torch.cumsum(hits_NT, 0, out=precision_NT)
        precision_NT.mul_(inverse_N1).mul_(hits_NT)
        torch.sum(precision_NT, 0, out=ap_KT[k])
    return ap_KT / labels_NT.sum(dim=0)


def _five_sizes(scores_NK: np.ndarray, labels_NT: np.ndarray) -> Row:
    """What choosing on five nested subsets costs beside the largest alone."""
    order = nested_order(N, 0)
    subsets = [np.sort(order[:size]) for size in (*SUBSETS, N)]

    def rank(rows: np.ndarray) -> np.ndarray:
        return average_precision(scores_NK[rows], labels_NT[rows])

    measured = paired(
        lambda: [rank(rows) for rows in subsets],
        lambda: rank(subsets[-1]),
        n_pairs=7,
    )
    sizes = ", ".join(f"{len(rows):,}" for rows in subsets)
    return _row("all five n_train", sizes, "the largest alone", measured, "≥ 0.71 ×")


def _resamples(name: str, scores_NK: np.ndarray, labels_NT: np.ndarray) -> Row:
    """Intervals of 20 methods from resamples of classes, against a weighted loop."""
    rng = np.random.default_rng(2)
    class_N = np.arange(N) * N_CLASSES // N
    counts_RG = draw_counts(N_CLASSES, N_RESAMPLES, rng)
    shown = np.flatnonzero(labels_NT.sum(axis=0) > N_CLASSES)
    pairs = [(rng.integers(N_RESAMPLES), rng.choice(shown)) for _ in range(50)]

    def resample() -> np.ndarray:
        """The methods' AP, for a prototype of each trait: one method after another."""
        return [
            resample_ap(
                scores_NK[:, m * T : (m + 1) * T], labels_NT, class_N, counts_RG
            )
            for m in range(N_METHODS)
        ]

    def loop() -> list[float]:
        return [
            average_precision_score(
                labels_NT[:, t], scores_NK[:, t], sample_weight=counts_RG[r][class_N]
            )
            for r, t in pairs
        ]

    ap_RT = resample()[0]
    worst = max(abs(ap_RT[p] - peer) for p, peer in zip(pairs, loop(), strict=True))
    assert worst < 1e-9, worst
    measured = paired(resample, loop, n_pairs=3)
    factor = N_RESAMPLES * N_METHODS * T / len(pairs)
    scaled = _scaled(measured, factor)
    return Row(
        work=f"AP in resamples, {name}",
        conditions=f"{N_RESAMPLES:,} resamples of {N_CLASSES} classes × {N_METHODS} "
        f"methods × {T} traits × {N:,} images; scikit-learn timed on {len(pairs)}, × "
        f"{factor:,.0f}; both agree to {max(worst, 1e-16):.0e}",
        ours="vitproto",
        ours_median=scaled.ours_s,
        peer="scikit-learn with sample_weight, a loop",
        peer_median=scaled.peer_s,
        unit="s",
        larger_is_better=False,
        ratio=scaled.ratio,
        aim="≥ 300 ×",
    )


def _row(name: str, note: str, peer: str, measured: Paired, aim: str) -> Row:
    return Row(
        work=f"AP, {name}",
        conditions=f"{N:,} images × {T} traits × {K:,} prototypes; {note}",
        ours="vitproto",
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
    # A trait that no image shows has no precision: 0 / 0 in the peers.
    warnings.simplefilter("ignore")
    run_alone(bench)
