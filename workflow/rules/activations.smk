"""From images to activations: one file per shard of a data set and encoder."""


rule record_activations:
    """Run an encoder over a shard of a data set and keep what its patches say."""
    input:
        encoder_files,
        drawn_data,
        images=f"{DATA}.images.csv",
    output:
        SHARD,
    log:
        f"{LOGS}/record_activations/{{dataset}}/{{encoder}}/{{address}}"
        "/shard-{i_shard}-of-{n_shards}.log",
    benchmark:
        f"{LOGS}/record_activations/{{dataset}}/{{encoder}}/{{address}}"
        "/shard-{i_shard}-of-{n_shards}.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=120,
    params:
        encoder=encoder_flags,
        is_random=is_random,
        dtypes=flags(config["record"]),
        root=data_root,
        weights=weights,
        how=recording_speed,
        reads=image_sources,
        code=fingerprint("record_activations"),
    shell:
        "python scripts/record_activations.py --name {wildcards.dataset}"
        " --root {params.root} --images {input.images} --out {output}"
        " --i_shard {wildcards.i_shard} --n_shards {wildcards.n_shards}"
        " {params.encoder} --checkpoint {params.weights} {params.dtypes} {params.how}"
        " --n_workers {threads} > {log} 2>&1"
