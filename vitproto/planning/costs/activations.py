"""The costs of fetching weights and of recording activations."""

import math

from vitproto.planning.costs.job import Cost, PlannedJob, Written
from vitproto.planning.costs.sizes import HEADER, KERNELS, StudySizes, count_images

TOWERS = 2
"""The towers of a model of open_clip: those of text and images are about as large."""

DECODING_S = 0.02
"""Seconds of one core for an image of half a million pixels, and its mask."""
DECODED = 30e6
"""Memory for a decoded image of ten million pixels."""


def fetch_weights(job: PlannedJob, study: StudySizes) -> Cost:
    e = study.config["encoders"][job.wildcards["encoder"]]
    n_bytes = TOWERS * 4 * 12 * e["width"] ** 2 * e["n_blocks"]
    if e["model"].startswith("timm:"):
        n_bytes /= TOWERS
    if e["weights"] != "hub":
        n_bytes = 0  # the architecture alone
    return study.cost(0, n_bytes, KERNELS, Written(weights=n_bytes))


def check_images(job: PlannedJob, study: StudySizes) -> Cost:
    n_images = count_images(study.config, job.wildcards["dataset"])
    seconds = DECODING_S * n_images / job.n_threads
    return study.cost(seconds, 0, KERNELS + job.n_threads * DECODED, Written())


def record_activations(job: PlannedJob, study: StudySizes) -> Cost:
    dataset, encoder = job.wildcards["dataset"], job.wildcards["encoder"]
    n_shards = int(job.wildcards["n_shards"])
    e = study.config["encoders"][encoder]
    n_images = math.ceil(count_images(study.config, dataset) / n_shards)
    n_tokens, width = study.n_patches(encoder) + 1, e["width"]
    n_bytes = HEADER + n_images * study.n_bytes_of_image(encoder)
    # A block has 12 D² weights, and compares all tokens with each other.
    n_blocks = max(e["layers"]) + 1
    per_token = 24 * width**2 + 4 * n_tokens * width
    n_operations = n_images * n_tokens * n_blocks * per_token
    n_weights = 12 * width**2 * e["n_blocks"]
    batch_size = study.config["how"]["batch_size"]
    at_once = 2 * batch_size if study.has_gpu else job.n_threads
    held = n_tokens * width * 4 * len(e["layers"]) + 12 * e["image_size"] ** 2
    memory = KERNELS + 4 * n_weights + at_once * held
    seconds = n_operations / study.flops
    return study.cost(seconds, n_bytes, memory, Written(activations=n_bytes))
