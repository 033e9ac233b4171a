"""The costs of scoring images, choosing prototypes, statistics and probes."""

from vitproto.planning.costs.job import Cost, PlannedJob, Written
from vitproto.planning.costs.sizes import (
    AP_ROW,
    AP_ROW_READ,
    HEADER,
    KERNELS,
    N_TRAITS,
    NAME,
    THUMBNAIL,
    TORCH,
    TRAIN_SHARE,
    StudySizes,
)

RESAMPLED_S = 2.5e-10
"""Seconds of one core for each image and resample of an AP, measured."""
NULL_ROW, INTERVAL_ROW = 80, 110
"""Bytes of a row of null.csv and of trait_intervals.csv, measured."""
EIGEN = 10
"""Operations of a decomposition of R × R, by R³ (about 9, Golub & Van Loan 8.3)."""
CEILING_ROW = 122
"""Bytes of a row of ceiling.csv, measured."""
TRAIT_PAGE_S = 0.2
"""Seconds of one core for the page of a trait, without its images, measured."""
TRAIT_PAGE, SHOWN_IMAGE = 80_000, 680
"""Bytes of the page of a trait, and of each image on it, measured."""


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


def permute_labels(job: PlannedJob, study: StudySizes) -> Cost:
    n_permutations = study.config["selection"]["n_permutations"]
    # Each permutation takes one fit seed and one selection seed of a configuration.
    ks = [run.n_prototypes for run in study.configurations(job.family)]
    sizes = set(study.subsets)
    n_test = (1 - TRAIN_SHARE) * study.n_images
    n_ranked = sum(sizes) * sum(ks) + len(sizes) * len(ks) * N_TRAITS * n_test
    seconds = n_permutations * n_ranked / study.rates["ranked_scores"]
    n_read = 4 * study.n_images * sum(study.ks(job.family))
    # The scores and their copy as it is sorted, and 8 bytes for each that is.
    memory = TORCH + (8 * N_TRAITS + (4 + 4 + 8) * study.n_images) * max(ks)
    n_rows = n_permutations * len(ks) * len(sizes)
    written = Written(results=NULL_ROW * n_rows)
    return study.cost(seconds, n_read, memory, written)


def compare_methods(job: PlannedJob, study: StudySizes) -> Cost:
    place = (job.wildcards["encoder"], int(job.wildcards["layer"]))
    here = [family for family in study.families if family[:2] == place]
    n_resamples = study.config["selection"]["n_resamples"]
    n_test = (1 - TRAIN_SHARE) * study.n_images
    n_runs = sum(len(study.ks(family)) for family in here)
    n_columns = n_runs * len(study.subsets) * N_TRAITS
    seconds = n_columns * n_test * n_resamples * RESAMPLED_S / job.n_threads
    # Of the settings of a method, only the best is compared.
    n_rows = sum(len(set(study.ks(family))) for family in here)
    n_rows *= len(set(study.subsets))
    # The AP of each trait in each resample, of all rows; and the scores of a run.
    n_scores = study.n_images * N_TRAITS * len(study.subsets)
    memory = TORCH + 4 * n_rows * n_resamples * N_TRAITS + 2 * 4 * n_scores
    written = Written(results=INTERVAL_ROW * n_rows * N_TRAITS)
    return study.cost(seconds, 4 * n_scores * n_runs, memory, written)


def show_traits(job: PlannedJob, study: StudySizes) -> Cost:
    first = study.config["runs"][0]
    place = [first[key] for key in ("encoder", "layer")]
    place = [value[0] if isinstance(value, list) else value for value in place]
    here = [family for family in study.families if list(family[:2]) == place]
    n_shown = 3 * study.config["features"]["n_images"]
    n_patches, width = study.n_patches(place[0]), study.width(here[0])
    # With this many traits, nearly every test image appears on a page.
    n_test = (1 - TRAIN_SHARE) * study.n_images
    ks = [max(study.ks(family)) for family in here]
    n_operations = 2 * n_test * n_patches * width * sum(ks)
    seconds = n_operations / study.rates["cpu_flops"] + N_TRAITS * TRAIT_PAGE_S
    n_pairs = N_TRAITS * n_shown * len(here)
    weights = [
        4 * width * k * (study.n_weights(family) + 1)
        for family, k in zip(here, ks, strict=True)
    ]
    memory = KERNELS + sum(weights) + 4 * n_pairs * n_patches
    memory += 4 * study.n_images * N_TRAITS * len(here)
    memory += job.n_threads * 3 * n_patches * max(ks) * 4
    pages = N_TRAITS * TRAIT_PAGE + n_pairs * SHOWN_IMAGE
    written = Written(results=pages + study.n_images * THUMBNAIL)
    n_read = n_test * n_patches * width * study.item
    return study.cost(seconds, n_read + sum(written), memory, written)


def pool_activations(job: PlannedJob, study: StudySizes) -> Cost:
    encoder = job.wildcards["encoder"]
    width = study.config["encoders"][encoder]["width"]
    n_values = study.n_images * study.n_patches(encoder) * width
    # A maximum, a conversion to float64 and a sum.
    seconds = 3 * n_values / study.rates["cpu_flops"]
    block = 16 * job.n_threads * study.n_patches(encoder) * width * 4
    in_float64 = job.n_threads * 2 * study.n_patches(encoder) * width * 4
    written = Written(scores=HEADER + study.n_images * (NAME + 2 * 4 * width))
    n_bytes = n_values * study.item + sum(written)
    return study.cost(seconds, n_bytes, TORCH + 3 * block + in_float64, written)


def probe_traits(job: PlannedJob, study: StudySizes) -> Cost:
    width = study.config["encoders"][job.wildcards["encoder"]]["width"]
    cfg = study.config["selection"]["probes"]
    n_grid, n_folds = len(cfg["regularisations"]), cfg["n_folds"]
    n_images, subsets = study.n_images, study.subsets
    n_test = (1 - TRAIN_SHARE) * n_images
    n_operations, n_ranked = 0.0, 0.0
    for n in subsets:
        rank = min(n, width)
        decomposition = 2 * n * width * rank + EIGEN * rank**3
        n_operations += (n_folds + 1) * decomposition
        n_operations += 2 * N_TRAITS * (n_grid * n * rank + n_test * width)
        n_ranked += N_TRAITS * (n_grid * n + n + n_test)
    n_operations, n_ranked = 2 * n_operations, 2 * n_ranked  # poolings
    seconds = n_operations / study.rates["cpu_flops"]
    seconds += n_ranked / study.rates["ranked_scores"]
    n_read = n_images * (NAME + 2 * 4 * width)
    scores = 2 * len(subsets) * 4 * n_test * N_TRAITS
    n_rows = 2 * len(subsets) * N_TRAITS
    written = Written(results=CEILING_ROW * n_rows + HEADER + n_test * NAME + scores)
    # Per fold that is fitted at a time: the images, standardised, and eigenvectors.
    n_largest = max(subsets)
    fold = 4 * 8 * n_largest * width + 3 * 8 * min(n_largest, width) ** 2
    held = 4 * n_grid * n_largest * N_TRAITS + scores / 2
    memory = KERNELS + n_read + min(job.n_threads, n_folds) * fold + held
    return study.cost(seconds, n_read + sum(written), memory, written)
