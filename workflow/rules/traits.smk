"""From prototypes to how well they find traits: one job per family and step."""


rule score_images:
    """Score every image by every prototype of a family: the maximum over patches."""
    input:
        shards=evaluated_shards,
        checkpoints=f"{FAMILY}/checkpoints.json",
    output:
        f"{FAMILY}/scores.h5",
    log:
        f"{FAMILY_LOGS}/score_images.log",
    benchmark:
        f"{FAMILY_LOGS}/score_images.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=120,
    params:
        device=device,
        code=fingerprint("score_images"),
    shell:
        "python scripts/score_images.py --shards {input.shards}"
        " --layer {wildcards.layer} --checkpoints {input.checkpoints} --out {output}"
        " {params.device} > {log} 2>&1"


rule select_prototypes:
    """Choose a prototype for each trait on training images and test it on others."""
    input:
        scores=f"{FAMILY}/scores.h5",
        splits=SPLITS,
        traits=f"{DATA}.traits.npz".format(dataset=EVALUATED),
    output:
        f"{FAMILY}/ap.csv",
    log:
        f"{FAMILY_LOGS}/select_prototypes.log",
    benchmark:
        f"{FAMILY_LOGS}/select_prototypes.tsv"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=120,
    params:
        selection=flags(
            {
                "n_train": config["selection"]["n_train"],
                "selection_seeds": config["selection"]["seeds"],
            }
        ),
        code=fingerprint("select_prototypes"),
    shell:
        "NUMBA_NUM_THREADS={threads} python scripts/select_prototypes.py"
        " --scores {input.scores} --splits {input.splits} --traits {input.traits}"
        " --out {output}"
        f" --dataset {EVALUATED} --encoder {{wildcards.encoder}}"
        " --layer {wildcards.layer} --method {wildcards.method} {params.selection}"
        " > {log} 2>&1"
