"""From prototypes to the images and patches that drive them: one job per run shown."""

EVERY_FEATURES = [FEATURES.format(**row) for row in config["features"]["runs"]]


rule show_features:
    """Show prototypes of a run with the images and patches that score highest."""
    input:
        evaluated_data,
        images=IMAGES,
        shards=evaluated_shards,
        checkpoints=f"{FAMILY}/checkpoints.json",
    output:
        directory(FEATURES),
    log:
        f"{FAMILY_LOGS}/show_features-{{run}}.log",
    benchmark:
        f"{FAMILY_LOGS}/show_features-{{run}}.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        root=evaluated_root,
        dataset=EVALUATED,
        fit_dataset=fit_dataset,
        device=device,
        settings=flags(
            {key: value for key, value in config["features"].items() if key != "runs"}
        ),
    shell:
        r"""
        python scripts/show_features.py \
            --root {params.root:q} \
            --images {input.images:q} \
            --shards {input.shards:q} \
            --checkpoints {input.checkpoints:q} \
            --features {output:q} \
            --dataset {params.dataset} \
            --encoder {wildcards.encoder} \
            --layer {wildcards.layer} \
            --method {wildcards.method} \
            --run {wildcards.run} \
            --fit_dataset {params.fit_dataset} \
            {params.settings} \
            {params.device} \
            >{log:q} 2>&1
        """
