"""PCA and k-means against scikit-learn, on activations in shards."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.decomposition import IncrementalPCA
from timing import Paired, Row, paired, run_alone

from vitproto.activations.sample import PatchSample, sampled
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.activations.stream import Activations
from vitproto.prototypes import kmeans, pca

N, P, D = 128, 196, 512
"""Images, patches and width."""
LAYER = 0
BLOCK = 16
"""Images that scikit-learn's PCA is given at a time: 3,136 patches, more than D."""

M, K, N_ITERS = 20_000, 512, 10
"""Patches, centres and rounds of k-means."""
K_STARTED = 128
"""Centres that k-means++ starts."""


def bench() -> list[Row]:
    """Compare fits to the same patches, page cache warm."""
    with tempfile.TemporaryDirectory() as folder:
        acts = _record(Path(folder) / "acts.h5")
        with sampled(acts, M, seed=0, folder=Path(folder)) as sample:
            return [
                _against_incremental_pca(acts),
                _against_scikit_learn_lloyd(sample),
                _against_scikit_learn_plus_plus(sample),
            ]


def _record(path: Path) -> Activations:
    """Activations with a falling spectrum, around a mean that is not zero."""
    generator = torch.Generator().manual_seed(0)
    spread_D = torch.arange(1, D + 1) ** -0.5
    axes_DD = torch.linalg.qr(torch.randn(D, D, generator=generator))[0]
    normal_NPD = torch.randn(N, P, D, generator=generator)
    x_NPD = (normal_NPD * spread_D) @ axes_DD + torch.randn(D, generator=generator)
    with write_shard(
        path,
        [f"image{i}" for i in range(N)],
        {LAYER: LayerShape(P, D, has_cls=False)},
        "float32",
        {"encoder": "drawn"},
        i_shard=0,
        n_shards=1,
    ) as shard:
        shard.write(0, LAYER, x_NPD, None)
    return Activations.open((path,), LAYER)


def _against_incremental_pca(acts: Activations) -> Row:
    def theirs() -> IncrementalPCA:
        peer = IncrementalPCA()
        for _, acts_BPD in acts.blocks(BLOCK):
            peer.partial_fit(acts_BPD.flatten(0, 1).numpy())
        return peer

    x_MD = torch.cat([acts_BPD for _, acts_BPD in acts.blocks(BLOCK)]).flatten(0, 1)
    exact_D = np.linalg.eigvalsh(np.cov(x_MD.double().numpy().T))[::-1]

    def error(variance_D: np.ndarray) -> float:
        return np.abs(variance_D / exact_D - 1).max()

    ours_off = error(pca.fit(acts).variance_D.numpy())
    theirs_off = error(theirs().explained_variance_)
    assert ours_off < 1e-6, ours_off
    times = paired(lambda: pca.fit(acts), theirs, n_pairs=3)
    sizes = f"{N} images × {P} patches × {D}, float32, all {D} components"
    off = f"eigenvalues off by {ours_off:.0e} and {theirs_off:.0e} of float64 ones"
    return _row(
        "PCA", f"{sizes}; {off}", "scikit-learn, `IncrementalPCA`", times, "≥ 7 ×"
    )


def _against_scikit_learn_lloyd(sample: PatchSample) -> Row:
    x_MD = sample.read(0, M)
    start_KD = x_MD[:K]

    def theirs() -> KMeans:
        peer = KMeans(K, init=start_KD.numpy(), n_init=1, max_iter=N_ITERS, tol=0)
        return peer.fit(x_MD.numpy())

    ours_at = _spread(x_MD, kmeans.lloyd(sample, start_KD, N_ITERS))
    theirs_at = _spread(x_MD, torch.from_numpy(theirs().cluster_centers_))
    assert abs(ours_at / theirs_at - 1) < 1e-3, (ours_at, theirs_at)
    times = paired(lambda: kmeans.lloyd(sample, start_KD, N_ITERS), theirs, n_pairs=5)
    sizes = f"{M:,} patches × {D}, float32, {K} centres, {N_ITERS} rounds, same start"
    where = "ours reads them from a file in each round"
    off = f"mean squared distances agree to {abs(ours_at / theirs_at - 1):.0e}"
    conditions = f"{sizes}; {where}; {off}"
    return _row("k-means", conditions, "scikit-learn, `KMeans`", times, "≥ 1 ×")


def _against_scikit_learn_plus_plus(sample: PatchSample) -> Row:
    x_MD = sample.read(0, M)

    def theirs() -> np.ndarray:
        return kmeans_plusplus(x_MD.numpy(), K_STARTED, random_state=0)[0]

    ours_at = _spread(x_MD, kmeans.spread(x_MD, K_STARTED, seed=0))
    theirs_at = _spread(x_MD, torch.from_numpy(theirs()))
    times = paired(lambda: kmeans.spread(x_MD, K_STARTED, seed=0), theirs, n_pairs=3)
    sizes = f"{M:,} patches × {D}, float32, {K_STARTED} centres"
    off = f"mean squared distances {ours_at:.4g} and {theirs_at:.4g}"
    peer = "scikit-learn, `kmeans_plusplus`"
    return _row("k-means++, greedy", f"{sizes}; {off}", peer, times, "≥ 2 ×")


def _spread(x_MD: torch.Tensor, centres_KD: torch.Tensor) -> float:
    return torch.cdist(x_MD, centres_KD).amin(1).square().mean().item()


def _row(work: str, conditions: str, peer: str, times: Paired, aim: str) -> Row:
    return Row(
        work=work,
        conditions=conditions,
        ours="vitproto",
        ours_median=times.ours_s,
        peer=peer,
        peer_median=times.peer_s,
        unit="s",
        larger_is_better=False,
        ratio=times.ratio,
        aim=aim,
    )


if __name__ == "__main__":
    run_alone(bench)
