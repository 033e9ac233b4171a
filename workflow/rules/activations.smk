"""From images to activations: one file per shard of a data set and encoder."""


localrules:
    fetch_weights,


rule fetch_weights:
    """Fetch an encoder's files from the hub, where Snakemake was started.

    No other rule needs a network. What is there already is not fetched again.
    """
    output:
        WEIGHTS,
    log:
        f"{LOGS}/fetch_weights/{{encoder}}.log",
    benchmark:
        f"{LOGS}/fetch_weights/{{encoder}}.tsv"
    params:
        what=fetching_flags,
        title=encoder_title,
        hub_cache=hub_cache,
    message:
        "Fetch {params.title}, from the Hugging Face hub to {params.hub_cache}"
    shell:
        r"""
        python scripts/fetch_weights.py \
            --fetched {output:q} \
            {params.what} \
            --hub_cache {params.hub_cache:q} \
            >{log:q} 2>&1
        """


rule check_images:
    """Decode all images and masks, so that no GPU waits for a damaged file."""
    input:
        drawn_data,
        images=f"{DATA}.images.csv",
    output:
        digests=f"{DATA}.image_digests.h5",  # the first: it says what was read
        checked=f"{DATA}.checked.csv",
    log:
        f"{LOGS}/check_images/{{dataset}}.log",
    benchmark:
        f"{LOGS}/check_images/{{dataset}}.tsv"
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        root=data_root,
        settings=checked_as,
        how=most_pixels,
        reads=checked_sources,
    shell:
        r"""
        python scripts/check_images.py \
            --dataset {wildcards.dataset} \
            --root {params.root:q} \
            --images {input.images:q} \
            --digests {output.digests:q} \
            --checked {output.checked:q} \
            {params.settings} \
            {params.how} \
            --n_workers {threads} \
            >{log:q} 2>&1
        """


rule record_activations:
    """Run an encoder over a shard of a data set and keep what its patches say."""
    input:
        encoder_files,
        drawn_data,
        images=f"{DATA}.images.csv",
        checked=f"{DATA}.checked.csv",
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
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        encoder=encoder_flags,
        is_random=is_random,
        dtypes=flags(config["record"]),
        root=data_root,
        weights=weights,
        hub=hub_flags,
        how=recording_speed,
        reads=recording_sources,
    shell:
        r"""
        HF_HUB_OFFLINE=1 python scripts/record_activations.py \
            --dataset {wildcards.dataset} \
            --root {params.root:q} \
            --images {input.images:q} \
            --shard {output:q} \
            --i_shard {wildcards.i_shard} \
            --n_shards {wildcards.n_shards} \
            {params.encoder} \
            --weights {params.weights:q} \
            {params.hub} \
            {params.dtypes} \
            {params.how} \
            --n_workers {threads} \
            >{log:q} 2>&1
        """
