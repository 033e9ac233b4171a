"""From activations to prototypes: one job per family of runs.

A family is what one job fits together: the runs that share encoder, layer and method.
Its manifest lists their checkpoints, which other studies may share.
"""


rule fit_kmeans:
    """Find the centres of clusters of patches."""
    input:
        shards=fitted_shards,
        splits=fitted_splits,
        same_centres=same_centres,
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/fit_kmeans.log",
    benchmark:
        f"{FAMILY_LOGS}/fit_kmeans.tsv"
    wildcard_constraints:
        method="kmeans|kmeansdistance",
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        runs=runs_of_family,
        fit_dataset=fit_dataset,
        centres=centre_store,
        store=checkpoint_store,
        score=kmeans_score,
        flags=flags(config["methods"]["kmeans"]),
    shell:
        r"""
        python scripts/fit_kmeans.py \
            --shards {input.shards:q} \
            --splits {input.splits:q} \
            --layer {wildcards.layer} \
            --runs {params.runs} \
            --centres {params.centres:q} \
            --store {params.store:q} \
            --checkpoints {output:q} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            --score {params.score} \
            {params.flags} \
            >{log:q} 2>&1
        """


rule fit_pca:
    """Find the principal components of all patches."""
    input:
        shards=fitted_shards,
        splits=fitted_splits,
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/fit_pca.log",
    benchmark:
        f"{FAMILY_LOGS}/fit_pca.tsv"
    wildcard_constraints:
        method="pca",
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        runs=runs_of_family,
        fit_dataset=fit_dataset,
        store=checkpoint_store,
    shell:
        r"""
        python scripts/fit_pca.py \
            --shards {input.shards:q} \
            --splits {input.splits:q} \
            --layer {wildcards.layer} \
            --runs {params.runs} \
            --store {params.store:q} \
            --checkpoints {output:q} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            >{log:q} 2>&1
        """


rule fit_sae:
    """Train the sparse autoencoders of a sweep over one stream of patches."""
    input:
        shards=fitted_shards,
        splits=fitted_splits,
    output:
        checkpoints=f"{FAMILY}/checkpoints.json",
        training=f"{FAMILY}/training.csv",
    log:
        f"{FAMILY_LOGS}/fit_sae.log",
    benchmark:
        f"{FAMILY_LOGS}/fit_sae.tsv"
    wildcard_constraints:
        method=SAE_METHODS,
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        runs=runs_of_family,
        fit_dataset=fit_dataset,
        store=checkpoint_store,
        unfinished=f"{FAMILY}/unfinished",
        settings=sae_flags,
        held_out_every=config["held_out"]["every"],
        how=training_flags,
    shell:
        r"""
        python scripts/fit_sae.py \
            --shards {input.shards:q} \
            --splits {input.splits:q} \
            --layer {wildcards.layer} \
            --runs {params.runs} \
            --store {params.store:q} \
            --checkpoints {output.checkpoints:q} \
            --training {output.training:q} \
            --unfinished {params.unfinished:q} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            --held_out_every {params.held_out_every} \
            {params.settings} \
            {params.how} \
            >{log:q} 2>&1
        """


rule fit_gaussian:
    """Draw random directions: the control that never saw an activation."""
    input:
        shards=evaluated_shards,
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/fit_gaussian.log",
    benchmark:
        f"{FAMILY_LOGS}/fit_gaussian.tsv"
    wildcard_constraints:
        method="gaussian",
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        runs=runs_of_family,
        fit_dataset=fit_dataset,
        store=checkpoint_store,
    shell:
        r"""
        python scripts/fit_gaussian.py \
            --shards {input.shards:q} \
            --layer {wildcards.layer} \
            --runs {params.runs} \
            --store {params.store:q} \
            --checkpoints {output:q} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            >{log:q} 2>&1
        """


rule import_directions:
    """Take the rows of a matrix that lies in a file."""
    input:
        shards=evaluated_shards,
        file=imported_file,
    output:
        f"{FAMILY}/checkpoints.json",
    log:
        f"{FAMILY_LOGS}/import_directions.log",
    benchmark:
        f"{FAMILY_LOGS}/import_directions.tsv"
    wildcard_constraints:
        method=imported_methods(has_directions=True),
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        runs=runs_of_family,
        fit_dataset=fit_dataset,
        store=checkpoint_store,
        reads=imported_sources,
    shell:
        r"""
        python scripts/import_directions.py \
            --file {input.file:q} \
            --shards {input.shards:q} \
            --layer {wildcards.layer} \
            --runs {params.runs} \
            --store {params.store:q} \
            --checkpoints {output:q} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            >{log:q} 2>&1
        """


rule import_sae:
    """Take the latents of a sparse autoencoder that lies in a file."""
    input:
        shards=evaluated_shards,
        file=imported_file,
        cfg=imported_cfg,
        mean=imported_mean,
    output:
        checkpoints=f"{FAMILY}/checkpoints.json",
        check=f"{FAMILY}/import_check.csv",
    log:
        f"{FAMILY_LOGS}/import_sae.log",
    benchmark:
        f"{FAMILY_LOGS}/import_sae.tsv"
    wildcard_constraints:
        method=imported_methods(has_directions=False),
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        runs=runs_of_family,
        fit_dataset=fit_dataset,
        store=checkpoint_store,
        reads=imported_sources,
        reading=reading_flags,
        beside=beside_flags,
    shell:
        r"""
        python scripts/import_sae.py \
            --file {input.file:q} \
            --shards {input.shards:q} \
            --layer {wildcards.layer} \
            --runs {params.runs} \
            --store {params.store:q} \
            --checkpoints {output.checkpoints:q} \
            --import_check {output.check:q} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            {params.reading} \
            {params.beside} \
            >{log:q} 2>&1
        """


rule evaluate_saes:
    """Measure every autoencoder of a family on images that it did not learn from."""
    input:
        shards=fitted_shards,
        splits=fitted_splits,
        checkpoints=f"{FAMILY}/checkpoints.json",
        training=f"{FAMILY}/training.csv",
    output:
        metrics=f"{FAMILY}/sae_metrics.csv",
        latents=f"{FAMILY}/latents.h5",
    log:
        f"{FAMILY_LOGS}/evaluate_saes.log",
    benchmark:
        f"{FAMILY_LOGS}/evaluate_saes.tsv"
    wildcard_constraints:
        method=SAE_METHODS,
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        runs=runs_of_family,
        fit_dataset=fit_dataset,
        held_out=flags(
            {
                "held_out_every": config["held_out"]["every"],
                "n_correlated": config["held_out"]["n_correlated"],
                "seed": config["held_out"]["seed"],
            }
        ),
        device=device,
    shell:
        r"""
        python scripts/evaluate_saes.py \
            --shards {input.shards:q} \
            --splits {input.splits:q} \
            --checkpoints {input.checkpoints:q} \
            --training {input.training:q} \
            --sae_metrics {output.metrics:q} \
            --latents {output.latents:q} \
            --encoder {wildcards.encoder} \
            --layer {wildcards.layer} \
            --method {wildcards.method} \
            --fit_dataset {params.fit_dataset} \
            --runs {params.runs} \
            {params.held_out} \
            {params.device} \
            >{log:q} 2>&1
        """


# What `scripts/fit_NAME.py` fits and no rule above does: methods without settings.
for METHOD in methods_with_a_script():
    if workflow.is_rule(f"fit_{METHOD}"):
        continue

    rule:
        name:
            f"fit_{METHOD}"
        input:
            shards=fitted_shards,
            splits=fitted_splits,
        output:
            f"{FAMILY}/checkpoints.json",
        log:
            f"{FAMILY_LOGS}/fit_{METHOD}.log",
        benchmark:
            f"{FAMILY_LOGS}/fit_{METHOD}.tsv"
        wildcard_constraints:
            method="random|randomtrain" if METHOD == "random" else METHOD,
        resources:
            mem_mb=REQUESTS.memory_mb,
            runtime=REQUESTS.minutes,
        params:
            runs=runs_of_family,
            fit_dataset=fit_dataset,
            store=checkpoint_store,
        shell:
            r"""
            python scripts/{rule}.py \
                --shards {input.shards:q} \
                --splits {input.splits:q} \
                --layer {wildcards.layer} \
                --runs {params.runs} \
                --store {params.store:q} \
                --checkpoints {output:q} \
                --fit_dataset {params.fit_dataset} \
                --encoder {wildcards.encoder} \
                --method {wildcards.method} \
                >{log:q} 2>&1
            """
