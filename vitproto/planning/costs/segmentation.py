"""The costs of masks, probes and the suppression of latents."""

from collections.abc import Mapping
from typing import Any

from vitproto.planning.costs.job import Cost, Number, PlannedJob, Written
from vitproto.planning.costs.sizes import (
    HEADER,
    KERNELS,
    NAME,
    PANDAS,
    PICTURE,
    StudySizes,
)
from vitproto.segmentation.suppression.terms import EDITS

N_KINDS = len(EDITS)
"""Kinds of edits, of which all but the latents and the class's direction are drawn."""
N_CLASSES, N_DRAWN_CLASSES = 150, 15
"""The classes of ADE20K, and of scenes that the project draws."""
VALIDATION_SHARE = 0.09
"""The share of validation images in ADE20K."""
CLASSES_SHOWN = 10
"""Classes that an image of ADE20K shows, roughly."""
ACTIVE_SHARE = 0.02
"""The share of active latents where a penalty limits them, roughly."""
BYTES_PER_EDIT = 20
"""What is written of each edit of each image, measured on drawn scenes."""
INFLUENCE_S = 1e-9
"""Seconds for each class, image and edit to find the image's influence, measured."""
MASK_S = 0.002
"""Seconds to read a mask and look up what its patches show, measured."""
CPU_OPERATIONS_PER_LOGIT, GPU_OPERATIONS_PER_LOGIT = 2, 400
"""The cost of finding a pixel's class, per class, in operations of products:
measured on a CPU, and what moving a logit through a GPU's memory takes."""


def label_patches(job: PlannedJob, study: StudySizes) -> Cost:
    """Masks of validation images are kept, compressed to a twentieth."""
    n_patches, n_test = _n_patches(study), _n_test(study)
    window = 2 * _encoder(study)["image_size"] ** 2
    n_bytes = HEADER + study.n_images * (NAME + 6 * n_patches)
    n_bytes += n_test * window / 20
    memory = KERNELS + 12 * study.n_images * n_patches + n_test * window
    seconds = study.n_images * MASK_S / job.n_threads
    return study.cost(seconds, n_bytes, memory, Written(results=n_bytes))


def train_probes(job: PlannedJob, study: StudySizes) -> Cost:
    cfg, width = study.config["segmentation"]["probes"], _encoder(study)["width"]
    n_probes, n_classes = _n_probes(study), _n_classes(study)
    n_patches = (study.n_images - _n_test(study)) * _n_patches(study)
    n_operations = 4 * n_patches * width * n_classes * n_probes * cfg["n_epochs"]
    weights = 4 * width * n_classes * n_probes
    memory = KERNELS + 5 * weights + 6 * study.n_images * _n_patches(study)
    memory += 2 * min(cfg["n_mixed"], n_patches) * width * study.item
    memory += 4 * cfg["n_scaling"] * width
    memory += cfg["batch_size"] * 4 * (4 * width + 4 * n_classes * job.n_threads)
    n_read = (cfg["n_epochs"] * n_patches + 2 * cfg["n_scaling"]) * width
    seconds = n_operations / study.flops
    # States hold weights and two moments; the next is written beside the last.
    written = Written(results=weights, scratch=2 * 3 * weights)
    return study.cost(seconds, n_read * study.item, memory, written)


def evaluate_probes(job: PlannedJob, study: StudySizes) -> Cost:
    width, n_probes, n_classes = (
        _encoder(study)["width"],
        _n_probes(study),
        _n_classes(study),
    )
    n_patches = _n_test(study) * _n_patches(study)
    n_operations = 2 * n_patches * width * n_classes * n_probes
    seconds = n_operations / study.flops + _pixel_seconds(study, n_probes)
    memory = _memory_of_labels(study) + 8 * width * n_classes * n_probes
    n_read = n_patches * width * study.item
    written = Written(results=4 * width * n_classes)
    return study.cost(seconds, n_read, memory, written)


def find_class_directions(job: PlannedJob, study: StudySizes) -> Cost:
    segmentation = study.config["segmentation"]
    width = study.config["encoders"][job.wildcards["encoder"]]["width"]
    written = Written(results=4 * width * _n_classes(study))
    if int(job.wildcards["layer"]) == segmentation["layer"]:
        return study.cost(0, sum(written), _memory_of_labels(study), written)
    n_images = segmentation["n_gradient_images"]
    # The encoder once, and for each class that an image shows there and back.
    n_operations = n_images * (1 + 3 * CLASSES_SHOWN) * _encoding(study)
    seconds = n_operations / study.flops
    return study.cost(seconds, 0, _memory_of_encoder(study), written)


def find_class_latents(job: PlannedJob, study: StudySizes) -> Cost:
    cfg, width = study.config["segmentation"]["ranking"], study.width(job.family)
    s, sparsity = job.run.n_prototypes, job.run.sparsity
    n_patches = (study.n_images - _n_test(study)) * _n_patches(study)
    n_ranked = min(cfg["n_patches"], n_patches)
    is_topk = sparsity is not None and sparsity >= 1
    n_active = sparsity if is_topk else ACTIVE_SHARE * s
    seconds = 2 * n_patches * width * s / study.flops
    seconds += n_ranked * n_active / study.rates["ranked_scores"]
    memory = _memory_of_labels(study) + 3 * 4 * width * s + 16 * n_ranked * n_active
    memory += 3 * job.n_threads * _n_patches(study) * s * 4
    memory += 3 * 8 * _n_classes(study) * s
    written = Written(results=60 * s + 200 * _n_classes(study) * 2 * cfg["n_ranked"])
    return study.cost(seconds, n_patches * width * study.item, memory, written)


def suppress_latents(job: PlannedJob, study: StudySizes) -> Cost:
    n_classes, n_test, n_patches = _n_classes(study), _n_test(study), _n_patches(study)
    n_edits = _n_edits(study)
    seconds = _pixel_seconds(study, n_edits)
    memory = _memory_of_labels(study)
    memory += 2 * 4 * study.width(job.family) * max(study.ks(job.family))
    memory += 4 * n_test * n_patches * n_classes
    memory += 8 * n_test * n_classes * n_edits / n_classes
    n_blocks = _n_blocks_after(job, study)
    if n_blocks:
        share = n_blocks / _encoder(study)["n_blocks"]
        seconds += n_edits * n_test * share * _encoding(study) / study.flops
        memory += _memory_of_encoder(study)
    n_read = n_test * n_patches * _encoder(study)["width"]
    # Each class is kept until all are written.
    n_bytes = BYTES_PER_EDIT * n_edits * n_test
    written = Written(results=n_bytes, scratch=n_bytes)
    return study.cost(seconds, n_read * study.item, memory, written)


def measure_suppression(job: PlannedJob, study: StudySizes) -> Cost:
    """One core; memory holds what each image adds to each effect, of all SAEs."""
    segmentation, n_test = study.config["segmentation"], _n_test(study)
    n_saes, n_edits = len(segmentation["saes"]), _n_edits(study)
    n_doses, n_classes = len(segmentation["suppression"]["doses"]), _n_classes(study)
    seconds = INFLUENCE_S * n_saes * n_edits * n_test * n_classes
    kept = 2 * 4 * N_KINDS * n_doses * n_classes * n_test * n_saes
    of_a_class = 4 * 8 * n_edits / n_classes * n_test
    n_read = BYTES_PER_EDIT * n_edits * n_test * n_saes
    written = Written(results=400 * N_KINDS * n_doses * n_classes * n_saes)
    return study.cost(seconds, n_read, PANDAS + kept + 4 * of_a_class, written)


def show_suppression(job: PlannedJob, study: StudySizes) -> Cost:
    cfg = study.config["segmentation"]["pictures"]
    n_shown = len(cfg["classes"]) * cfg["n_images"]
    memory = _memory_of_labels(study)
    memory += 8 * study.width(job.family) * max(study.ks(job.family))
    if _n_blocks_after(job, study):
        memory += _memory_of_encoder(study)
    return study.cost(0, 0, memory, Written(results=5 * PICTURE * n_shown))


# Sizes that these stages share ---------------------------------------------------


def _encoder(study: StudySizes) -> Mapping[str, Any]:
    """The encoder that segments."""
    return study.config["encoders"][study.config["segmentation"]["encoder"]]


def _n_patches(study: StudySizes) -> int:
    """Patches of an image."""
    return study.n_patches(study.config["segmentation"]["encoder"])


def _n_classes(study: StudySizes) -> int:
    is_drawn = "draw" in study.config["datasets"][study.config["dataset"]]
    return N_DRAWN_CLASSES if is_drawn else N_CLASSES


def _n_test(study: StudySizes) -> int:
    """Validation images."""
    draw = study.config["datasets"][study.config["dataset"]].get("draw", {})
    return draw.get("n_validation", round(VALIDATION_SHARE * study.n_images))


def _n_edits(study: StudySizes) -> Number:
    """Edits of all classes: the latents, the class's direction, and drawn controls."""
    cfg = study.config["segmentation"]["suppression"]
    n_kinds = 2 + (N_KINDS - 2) * cfg["n_draws"]
    return _n_classes(study) * len(cfg["doses"]) * n_kinds


def _n_probes(study: StudySizes) -> int:
    cfg = study.config["segmentation"]["probes"]
    return len(cfg["learning_rates"]) * len(cfg["weight_decays"])


def _n_blocks_after(job: PlannedJob, study: StudySizes) -> int:
    """Blocks between the layer that is edited and the one that is segmented."""
    return study.config["segmentation"]["layer"] - job.family.layer


def _pixel_seconds(study: StudySizes, n_edits: Number) -> Number:
    """Seconds to find the class of every validation pixel after each edit."""
    n_pixels = _n_test(study) * _encoder(study)["image_size"] ** 2
    per_logit = GPU_OPERATIONS_PER_LOGIT if study.has_gpu else CPU_OPERATIONS_PER_LOGIT
    n_logits = n_edits * n_pixels * _n_classes(study)
    return n_logits * per_logit / study.flops


def _encoding(study: StudySizes) -> Number:
    """Operations of the whole encoder on one image."""
    e, n_tokens = _encoder(study), _n_patches(study) + 1
    per_token = 24 * e["width"] ** 2 + 4 * n_tokens * e["width"]
    return n_tokens * e["n_blocks"] * per_token


def _memory_of_encoder(study: StudySizes) -> Number:
    """Bytes of a process that runs an encoder on edited tokens."""
    e, n_tokens = _encoder(study), _n_patches(study) + 1
    weights = 12 * 4 * e["width"] ** 2 * e["n_blocks"]
    return KERNELS + weights + 64 * n_tokens * e["width"] * 4 * 8


def _memory_of_labels(study: StudySizes) -> Number:
    """Bytes of a process that holds all labels, and the masks of validation images."""
    n_labels = study.n_images * _n_patches(study)
    masks = 2 * _n_test(study) * (_encoder(study)["image_size"] ** 2)
    return KERNELS + 6 * n_labels + masks
