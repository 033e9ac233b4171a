"""From prototypes to how well they find traits: one job per family and step."""

SCORES = (
    config["storage"]["scores"]
    + f"/{config['study']}/{{encoder}}/layer{{layer}}/{{method}}/{{address}}"
    "/scores.h5"
)
# In the study's folder: its label rule made them.
POOLED = (
    config["storage"]["scores"]
    + f"/{config['study']}/{{encoder}}/layer{{layer}}/pooled/{{address}}/pooled.h5"
)
EVERY_CEILING = every_layer(f"{LAYER}/ceiling.csv")


def pooled_activations(wildcards):
    """The pooled activations of a layer."""
    address = addresses.of_activations(config, EVALUATED, wildcards.encoder)
    return POOLED.format(**wildcards, address=address)


rule score_images:
    """Score every image by every prototype of a family: the maximum over patches."""
    input:
        shards=evaluated_shards,
        checkpoints=f"{FAMILY}/checkpoints.json",
    output:
        SCORES,
    log:
        FAMILY_LOGS + "/score_images-{address}.log",
    benchmark:
        FAMILY_LOGS + "/score_images-{address}.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        dataset=EVALUATED,
        runs=runs_of_family,
        fit_dataset=fit_dataset,
        device=device,
    shell:
        r"""
        python scripts/score_images.py \
            --shards {input.shards:q} \
            --layer {wildcards.layer} \
            --checkpoints {input.checkpoints:q} \
            --scores {output:q} \
            --dataset {params.dataset} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            --runs {params.runs} \
            {params.device} \
            >{log:q} 2>&1
        """


rule select_prototypes:
    """Choose a prototype for each trait on training images and test it on others."""
    input:
        scores=family_scores,
        splits=SPLITS,
        traits=TRAITS,
    output:
        ap=f"{FAMILY}/ap.csv",
        chosen=f"{FAMILY}/chosen_scores.h5",
    log:
        f"{FAMILY_LOGS}/select_prototypes.log",
    benchmark:
        f"{FAMILY_LOGS}/select_prototypes.tsv"
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        selection=flags(
            {
                "n_train": config["selection"]["n_train"],
                "selection_seeds": config["selection"]["seeds"],
            }
        ),
        study=config["study"],
        dataset=EVALUATED,
        runs=runs_of_family,
        fit_dataset=fit_dataset,
    shell:
        r"""
        NUMBA_NUM_THREADS={threads} python scripts/select_prototypes.py \
            --scores {input.scores:q} \
            --splits {input.splits:q} \
            --traits {input.traits:q} \
            --ap {output.ap:q} \
            --chosen {output.chosen:q} \
            --study {params.study} \
            --dataset {params.dataset} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --layer {wildcards.layer} \
            --method {wildcards.method} \
            --runs {params.runs} \
            {params.selection} \
            >{log:q} 2>&1
        """


rule pool_activations:
    """Pool every image's activations: the maximum and the mean over patches."""
    input:
        evaluated_shards,
    output:
        POOLED,
    log:
        LAYER_LOGS + "/pool_activations-{address}.log",
    benchmark:
        LAYER_LOGS + "/pool_activations-{address}.tsv"
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        dataset=EVALUATED,
    shell:
        r"""
        python scripts/pool_activations.py \
            --shards {input:q} \
            --pooled {output:q} \
            --dataset {params.dataset} \
            --encoder {wildcards.encoder} \
            --layer {wildcards.layer} \
            >{log:q} 2>&1
        """


rule probe_traits:
    """Fit supervised probes with the labels that choose prototypes: the ceiling."""
    input:
        pooled=pooled_activations,
        splits=SPLITS,
        traits=TRAITS,
    output:
        ceiling=f"{LAYER}/ceiling.csv",
        ceiling_scores=f"{LAYER}/ceiling_scores.h5",
    log:
        f"{LAYER_LOGS}/probe_traits.log",
    benchmark:
        f"{LAYER_LOGS}/probe_traits.tsv"
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        selection=flags(
            {
                "n_train": config["selection"]["n_train"],
                "selection_seeds": config["selection"]["seeds"],
            }
        ),
        probes=flags(config["selection"]["probes"]),
        study=config["study"],
        dataset=EVALUATED,
    shell:
        r"""
        NUMBA_NUM_THREADS={threads} python scripts/probe_traits.py \
            --pooled {input.pooled:q} \
            --splits {input.splits:q} \
            --traits {input.traits:q} \
            --ceiling {output.ceiling:q} \
            --ceiling_scores {output.ceiling_scores:q} \
            --study {params.study} \
            --dataset {params.dataset} \
            --encoder {wildcards.encoder} \
            --layer {wildcards.layer} \
            {params.probes} \
            {params.selection} \
            >{log:q} 2>&1
        """


rule permute_labels:
    """Choose and test prototypes on permuted labels, which mean nothing."""
    input:
        scores=family_scores,
        splits=SPLITS,
        traits=TRAITS,
    output:
        f"{FAMILY}/null.csv",
    log:
        f"{FAMILY_LOGS}/permute_labels.log",
    benchmark:
        f"{FAMILY_LOGS}/permute_labels.tsv"
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        selection=flags(
            {
                "n_train": config["selection"]["n_train"],
                "selection_seeds": config["selection"]["seeds"],
                "n_permutations": config["selection"]["n_permutations"],
            }
        ),
        study=config["study"],
        dataset=EVALUATED,
        runs=runs_of_family,
        fit_dataset=fit_dataset,
    shell:
        r"""
        NUMBA_NUM_THREADS={threads} python scripts/permute_labels.py \
            --scores {input.scores:q} \
            --splits {input.splits:q} \
            --traits {input.traits:q} \
            --null {output:q} \
            --study {params.study} \
            --dataset {params.dataset} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --layer {wildcards.layer} \
            --method {wildcards.method} \
            --runs {params.runs} \
            {params.selection} \
            >{log:q} 2>&1
        """


rule compare_methods:
    """Compare the methods in a layer, with intervals over test images and seeds."""
    input:
        ap=in_layer(f"{FAMILY}/ap.csv"),
        chosen=in_layer(f"{FAMILY}/chosen_scores.h5"),
        ceiling=f"{LAYER}/ceiling.csv",
        ceiling_scores=f"{LAYER}/ceiling_scores.h5",
        splits=SPLITS,
        traits=TRAITS,
    output:
        intervals=f"{LAYER}/map_intervals.csv",
        pairs=f"{LAYER}/method_pairs.csv",
        trait_intervals=f"{LAYER}/trait_intervals.csv",
        rules=f"{LAYER}/label_rules.csv",
        groups=f"{LAYER}/group_intervals.csv",
        ceiling_intervals=f"{LAYER}/ceiling_intervals.csv",
    log:
        f"{LAYER_LOGS}/compare_methods.log",
    benchmark:
        f"{LAYER_LOGS}/compare_methods.tsv"
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        n_resamples=config["selection"]["n_resamples"],
    shell:
        r"""
        NUMBA_NUM_THREADS={threads} python scripts/compare_methods.py \
            --ap {input.ap:q} \
            --chosen {input.chosen:q} \
            --ceiling {input.ceiling:q} \
            --ceiling_scores {input.ceiling_scores:q} \
            --splits {input.splits:q} \
            --traits {input.traits:q} \
            --intervals {output.intervals:q} \
            --pairs {output.pairs:q} \
            --trait_intervals {output.trait_intervals:q} \
            --rules {output.rules:q} \
            --groups {output.groups:q} \
            --ceiling_intervals {output.ceiling_intervals:q} \
            --n_resamples {params.n_resamples} \
            >{log:q} 2>&1
        """
