"""The costs of fitting prototypes and of evaluating autoencoders."""

import math

from vitproto.planning.costs.job import Cost, PlannedJob, Written
from vitproto.planning.costs.sizes import KERNELS, TORCH, StudySizes
from vitproto.study.imported import N_CHECKED


def fit_random(job: PlannedJob, study: StudySizes) -> Cost:
    """Also the cost of the others that only write prototypes down."""
    width = study.width(job.family)
    n_bytes = [4 * width * k for k in study.ks(job.family)]
    written = Written(checkpoints=sum(n_bytes) * study.n_weights(job.family))
    memory = TORCH + 2 * max(n_bytes)
    return study.cost(0, sum(n_bytes), memory, written)


fit_gaussian = fit_random
import_directions = fit_random


def import_sae(job: PlannedJob, study: StudySizes) -> Cost:
    """Writes it down, and reconstructs some images."""
    width, largest = study.width(job.family), max(study.ks(job.family))
    n_patches = study.n_patches(job.family.encoder)
    n_looked_at = N_CHECKED * n_patches
    seconds = n_looked_at * 4 * width * largest / study.rates["cpu_flops"]
    written = fit_random(job, study).written
    memory = TORCH + 3 * 4 * 2 * width * largest
    memory += n_looked_at * width * 4 + n_patches * (2 * 4 * largest + 4 * 8 * width)
    return study.cost(seconds, n_looked_at * width * study.item, memory, written)


def fit_kmeans(job: PlannedJob, study: StudySizes) -> Cost:
    cfg, width = study.config["methods"]["kmeans"], study.width(job.family)
    n_sample, ks = cfg["n_sample"], study.ks(job.family)
    written = Written(
        checkpoints=sum(4 * width * k for k in ks),
        scratch=n_sample * width * study.item,
    )
    memory = KERNELS + max(4 * width * (max(8192, 10 * k) + 4 * k) for k in ks)
    memory += 24 * n_sample + 3 * 4096 * job.n_threads * width * 4
    twin = job.family._replace(method="kmeans")
    if job.family != twin and twin in study.families:  # its centres are reused
        memory = TORCH + 8 * width * max(ks)
        return study.cost(0, 0, memory, written._replace(scratch=0))
    n_operations = sum(
        2 * n_sample * width * k * cfg["n_iters"]
        + 2 * (2 + math.log(k)) * k * max(8192, 10 * k) * width
        for k in ks
    )
    n_read = n_sample * width * study.item * (1 + cfg["n_iters"] * len(ks))
    seconds = n_operations / study.rates["cpu_flops"]
    return study.cost(seconds, n_read, memory, written)


def fit_pca(job: PlannedJob, study: StudySizes) -> Cost:
    width, n_patches_each = study.width(job.family), study.n_patches(job.family.encoder)
    n_patches = study.n_fitted * n_patches_each
    n_operations = 2 * n_patches * width**2 + 20 * width**3
    block = 16 * job.n_threads * n_patches_each * width * 4
    memory = TORCH + 3 * block + 6 * 8 * width**2
    written = Written(checkpoints=sum(4 * width * k for k in study.ks(job.family)))
    n_read = n_patches * width * study.item
    seconds = n_operations / study.rates["cpu_flops"]
    return study.cost(seconds, n_read, memory, written)


def fit_sae(job: PlannedJob, study: StudySizes) -> Cost:
    cfg = study.config["methods"]["saes"][job.family.method]
    width, ss = study.width(job.family), study.ks(job.family)
    weights = [2 * 4 * width * s for s in ss]
    n_patches = cfg["n_patches"] if cfg["trains"] != "nothing" else 0
    # Five products of patches, width and latents; on a CPU, where only few latents
    # are active, as long as two.
    is_dense = cfg["activation"] in ("relu", "jumprelu")
    n_products = 5 if is_dense or study.has_gpu else 2
    n_operations = n_products * 2 * n_patches * width * sum(ss)
    n_read = (n_patches + 2 * cfg["n_scaling"]) * width * study.item
    n_there = study.n_fitted * study.n_patches(job.family.encoder)
    n_mixed = min(cfg["n_mixed"], n_there)
    # Weights, two moments, and for all runs of a size one set of gradients.
    states = 3 * sum(weights)
    memory = KERNELS + states + sum(2 * 4 * width * s for s in set(ss))
    memory += 2 * n_mixed * width * study.item
    memory += cfg["batch_size"] * (4 * width * 4 + 4 * max(ss))
    # The old states stay until the next ones are written.
    scratch = 2 * states if n_patches else 0
    written = Written(checkpoints=sum(weights), scratch=scratch)
    return study.cost(n_operations / study.flops, n_read, memory, written)


def evaluate_saes(job: PlannedJob, study: StudySizes) -> Cost:
    held_out = study.config["held_out"]
    width, ss = study.width(job.family), study.ks(job.family)
    n_patches = study.n_patches(job.family.encoder)
    n_held_out = study.n_fitted / held_out["every"] * n_patches
    n_correlated = min(held_out["n_correlated"], max(ss))
    n_operations = n_held_out * (4 * width * sum(ss) + 2 * len(ss) * n_correlated**2)
    n_operations += sum(width * s**2 for s in ss)
    memory = KERNELS + sum(3 * 4 * width * s for s in ss) + 4 * width * max(ss)
    group = 4 * n_patches * (4 * 2 * max(ss) + 8 * 4 * width + 8 * n_correlated)
    memory += group * (1 if study.has_gpu else job.n_threads)
    written = Written(results=sum(16 * s for s in ss))
    n_read = n_held_out * width * study.item
    return study.cost(n_operations / study.flops, n_read, memory, written)
