"""From prototypes to how well they find traits: one job per family and step."""

SCORES = (
    config["storage"]["scores"]
    + f"/{config['study']}/{{encoder}}/layer{{layer}}/{{method}}/{{address}}"
    "/scores.h5"
)
TRAITS = f"{DATA}.traits.npz".format(dataset=EVALUATED)


def family_scores(wildcards):
    """The scores of a family."""
    family = Family(wildcards.encoder, int(wildcards.layer), wildcards.method)
    address = addresses.of_scores(config, family, runs_of_family(wildcards))
    return SCORES.format(**wildcards, address=address)


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
            --shards {input.shards} \
            --layer {wildcards.layer} \
            --checkpoints {input.checkpoints} \
            --scores {output} \
            --dataset {params.dataset} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            --runs {params.runs} \
            {params.device} \
            >{log} 2>&1
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
            --scores {input.scores} \
            --splits {input.splits} \
            --traits {input.traits} \
            --ap {output.ap} \
            --chosen {output.chosen} \
            --study {params.study} \
            --dataset {params.dataset} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --layer {wildcards.layer} \
            --method {wildcards.method} \
            --runs {params.runs} \
            {params.selection} \
            >{log} 2>&1
        """
