"""What scoring images and choosing prototypes costs."""

from vitproto.planning.costs.job import Cost, PlannedJob, Written
from vitproto.planning.costs.sizes import (
    AP_ROW,
    AP_ROW_READ,
    HEADER,
    N_TRAITS,
    NAME,
    TORCH,
    StudySizes,
)


def score_images(job: PlannedJob, study: StudySizes) -> Cost:
    n_images, width = study.n_images, study.width(job.family)
    ks, n_patches = study.ks(job.family), study.n_patches(job.family.encoder)
    n_operations = 2 * n_images * n_patches * width * sum(ks)
    weights = 4 * width * sum(ks)
    is_sae = study.is_sae(job.family)
    n_copies = study.n_weights(job.family) + 1 if is_sae else 1
    block = 16 * job.n_threads * n_patches * width * 4
    tiles = job.n_threads * 8 * n_patches * 4 * min(1024, max(ks))
    memory = TORCH + n_copies * weights + 3 * block + tiles
    written = Written(scores=HEADER + n_images * (NAME + 4 * sum(ks)))
    n_bytes = n_images * n_patches * width * study.item + sum(written)
    return study.cost(n_operations / study.flops, n_bytes, memory, written)


def select_prototypes(job: PlannedJob, study: StudySizes) -> Cost:
    n_images, ks, subsets = study.n_images, study.ks(job.family), study.subsets
    n_ranked = sum(subsets) * sum(ks)
    n_rows = len(ks) * len(subsets) * N_TRAITS
    # Each trait may choose another prototype on each subset.
    n_chosen = [min(k, N_TRAITS * len(subsets)) for k in ks]
    chosen = HEADER + n_images * NAME + sum(n_chosen) * (4 * n_images + 8)
    tables = 8 * N_TRAITS * max(ks) + 2 * 4 * n_images * max(ks)
    tables += 4 * n_images * max(n_chosen)
    memory = TORCH + tables + AP_ROW_READ * n_rows + N_TRAITS * n_images
    seconds = n_ranked / study.rates["ranked_scores"]
    n_read = 4 * n_images * sum(ks)
    written = Written(results=AP_ROW * n_rows + chosen)
    return study.cost(seconds, n_read + chosen, memory, written)
