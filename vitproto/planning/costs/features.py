"""The costs of pages of prototypes."""

from vitproto.planning.costs.job import Cost, PlannedJob, Written
from vitproto.planning.costs.sizes import KERNELS, PICTURE, StudySizes


def show_features(job: PlannedJob, study: StudySizes) -> Cost:
    cfg, width = study.config["features"], study.width(job.family)
    k, n_images = job.run.n_prototypes, study.n_images
    n_patches = study.n_patches(job.family.encoder)
    n_shown = min(k, cfg["n_in_range"] + len(cfg["listed"]) + cfg["n_sampled"])
    n_operations = 2 * n_images * n_patches * width * k
    at_once = 1 if study.has_gpu else job.n_threads
    memory = KERNELS + (study.n_weights(job.family) + 1) * 4 * width * k
    memory += at_once * 3 * n_patches * k * 4 + 12 * k * cfg["n_images"]
    n_read = n_images * n_patches * width * study.item
    written = Written(results=n_shown * cfg["n_images"] * PICTURE)
    return study.cost(n_operations / study.flops, n_read, memory, written)
