"""From activations to prototypes: one job per family of runs.

A family is what one job fits together: the runs that share encoder, layer and method.
Its manifest lists their checkpoints, which other studies may share.
"""


rule fit_random:
    """Choose patches at random: each one's activation is a prototype."""
    input:
        shards=fitted_shards,
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/fit_random.log",
    wildcard_constraints:
        method="random",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        runs=runs_of_family,
        store=CHECKPOINTS,
        code=fingerprint("fit_random"),
    shell:
        "python scripts/fit_random.py --shards {input.shards} --layer {wildcards.layer}"
        " --runs {params.runs} --store {params.store} --manifest {output} > {log} 2>&1"


rule fit_randomtrain:
    """Choose patches of the evaluated data set's own training images at random."""
    input:
        shards=evaluated_shards,
        images=f"{DATA}.images.csv".format(dataset=EVALUATED),
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/fit_randomtrain.log",
    wildcard_constraints:
        method="randomtrain",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        runs=runs_of_family,
        store=EVALUATED_CHECKPOINTS,
        code=fingerprint("fit_randomtrain"),
    shell:
        "python scripts/fit_randomtrain.py --shards {input.shards}"
        " --images {input.images} --layer {wildcards.layer} --runs {params.runs}"
        " --store {params.store} --manifest {output} > {log} 2>&1"


rule fit_kmeans:
    """Find the centres of clusters of patches."""
    input:
        shards=fitted_shards,
        same_centres=same_centres,
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/fit_kmeans.log",
    wildcard_constraints:
        method="kmeans|kmeansdistance",
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        runs=runs_of_family,
        centres=CHECKPOINTS.replace("{method}", "kmeans"),
        store=CHECKPOINTS,
        score=kmeans_score,
        flags=flags(config["methods"]["kmeans"]),
        code=fingerprint("fit_kmeans"),
    shell:
        "python scripts/fit_kmeans.py --shards {input.shards} --layer {wildcards.layer}"
        " --runs {params.runs} --centres {params.centres} --store {params.store}"
        " --manifest {output} --score {params.score} {params.flags} > {log} 2>&1"


rule fit_pca:
    """Find the principal components of all patches."""
    input:
        shards=fitted_shards,
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/fit_pca.log",
    wildcard_constraints:
        method="pca",
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        runs=runs_of_family,
        store=CHECKPOINTS,
        code=fingerprint("fit_pca"),
    shell:
        "python scripts/fit_pca.py --shards {input.shards} --layer {wildcards.layer}"
        " --runs {params.runs} --store {params.store} --manifest {output} > {log} 2>&1"


rule fit_gaussian:
    """Draw random directions: the control that never saw an activation."""
    input:
        shards=evaluated_shards,
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/fit_gaussian.log",
    wildcard_constraints:
        method="gaussian",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        runs=runs_of_family,
        store=CHECKPOINTS,
        code=fingerprint("fit_gaussian"),
    shell:
        "python scripts/fit_gaussian.py --shards {input.shards}"
        " --layer {wildcards.layer} --runs {params.runs} --store {params.store}"
        " --manifest {output} > {log} 2>&1"
