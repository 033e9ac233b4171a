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
