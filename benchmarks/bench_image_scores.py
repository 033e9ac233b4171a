"""Image scores: the largest dot product over an image's patches, against sgemm."""

from collections.abc import Callable
from concurrent.futures import Executor

import torch
from timing import Row, paired, run_alone

from vitproto.core.threads import one_core_each
from vitproto.prototypes.scorer import DotProduct
from vitproto.traits.image_scores import score_block

B, P, D, K = 64, 256, 1024, 2048
SIZES = f"{B} images × {P} patches × {D}, {K:,} prototypes, float32"


def bench() -> list[Row]:
    """Compare with products alone, and with the plain ways to reduce them."""
    with one_core_each() as workers:
        return _compare(workers)


def _compare(workers: Executor) -> list[Row]:
    generator = torch.Generator().manual_seed(0)
    acts_BPD = torch.randn(B, P, D, generator=generator)
    scorer = DotProduct(torch.randn(K, D, generator=generator))
    acts_MD, directions_KD = acts_BPD.flatten(0, 1), scorer.directions_KD
    products_MK, products_KM = torch.empty(B * P, K), torch.empty(K, B * P)
    image_M = torch.arange(B).repeat_interleave(P)

    def ours() -> torch.Tensor:
        return score_block(acts_BPD, [scorer], workers)[0]

    def patches_by_prototypes() -> None:
        torch.mm(acts_MD, directions_KD.T, out=products_MK)

    def prototypes_by_patches() -> None:
        torch.mm(directions_KD, acts_MD.T, out=products_KM)

    def reduce_all() -> torch.Tensor:
        return (acts_MD @ directions_KD.T).view(B, P, K).amax(1)

    def scatter() -> torch.Tensor:
        scores_BK = torch.full((B, K), -torch.inf)
        index_MK = image_M[:, None].expand(-1, K)
        return scores_BK.scatter_reduce_(0, index_MK, acts_MD @ directions_KD.T, "amax")

    for peer in (reduce_all, scatter):
        torch.testing.assert_close(ours(), peer(), atol=1e-3, rtol=1e-5)
    best_gemm, name = min(
        (patches_by_prototypes, "patches × prototypes"),
        (prototypes_by_patches, "prototypes × patches"),
        key=lambda gemm: paired(gemm[0], gemm[0], n_pairs=3).ours_s,
    )
    return [
        _row(ours, f"products alone, best sgemm ({name})", best_gemm, "≥ 0.95 ×"),
        _row(ours, "one large product, then `amax`", reduce_all, ""),
        _row(ours, "one large product, then `scatter_reduce_`", scatter, ""),
    ]


def _row(
    ours: Callable[[], object], peer_name: str, peer: Callable[[], object], aim: str
) -> Row:
    times = paired(ours, peer, n_pairs=11)
    giga_flops = 2 * B * P * D * K / 1e9
    return Row(
        work="image scores",
        conditions=SIZES,
        ours="vitproto",
        ours_median=giga_flops / times.ours_s,
        peer=peer_name,
        peer_median=giga_flops / times.peer_s,
        unit="GFLOP/s",
        larger_is_better=True,
        ratio=times.ratio,
        aim=aim,
    )


if __name__ == "__main__":
    run_alone(bench)
