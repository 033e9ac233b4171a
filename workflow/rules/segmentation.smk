"""From activations and masks to which latents a segmentation head relies on."""

SEGMENTED = config["segmentation"]
PATCH_LABELS = f"{STUDY}/{SEGMENTED['encoder']}/patch_labels.h5"
PROBES = f"{STUDY}/{SEGMENTED['encoder']}/layer{SEGMENTED['layer']}/probes"
PROBE_LOGS = f"{STUDY_LOGS}/{SEGMENTED['encoder']}/layer{SEGMENTED['layer']}/probes"
DIRECTIONS = f"{STUDY}/{{encoder}}/layer{{layer}}/class_directions.safetensors"
SUPPRESSION_LOGS = FAMILY_LOGS + "/suppression/{run}"
SUPPRESSED = [
    {
        "encoder": SEGMENTED["encoder"],
        **{key: sae[key] for key in ("layer", "method", "run")},
    }
    for sae in SEGMENTED["saes"]
]


def every_suppression(file):
    """A file of each autoencoder whose latents are suppressed."""
    return [f"{SUPPRESSION}/{file}".format(**sae) for sae in SUPPRESSED]


def suppressed_runs():
    """The autoencoders whose latents are suppressed, by family."""
    runs = {}
    for sae in SUPPRESSED:
        family = Family(sae["encoder"], sae["layer"], sae["method"])
        runs.setdefault(family, []).append(Run.parse(sae["run"]))
    return write_families(runs)


def segmented_shards(wildcards):
    """The activations of the labelled images."""
    return shards(EVALUATED, SEGMENTED["encoder"])


def own_choice(wildcards):
    """Latents chosen by hand, by label: `--picked 29:8541,5818`."""
    (classes,) = [
        sae["classes"]
        for sae in SEGMENTED["saes"]
        if all(str(sae[key]) == wildcards[key] for key in ("layer", "method", "run"))
    ]
    picked = [
        f"{label}:{','.join(map(str, latents))}" for label, latents in classes.items()
    ]
    return flags({"picked": picked})


rule label_patches:
    """Look up in the masks what each patch shows."""
    input:
        evaluated_data,
        images=IMAGES,
        splits=SPLITS,
        shards=segmented_shards,
    output:
        PATCH_LABELS,
    log:
        f"{STUDY_LOGS}/{SEGMENTED['encoder']}/label_patches.log",
    benchmark:
        f"{STUDY_LOGS}/{SEGMENTED['encoder']}/label_patches.tsv"
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        dataset=EVALUATED,
        root=evaluated_root,
        layer=SEGMENTED["layer"],
        reads=mask_sources,
    shell:
        r"""
        python scripts/label_patches.py \
            --root {params.root:q} \
            --images {input.images:q} \
            --splits {input.splits:q} \
            --shards {input.shards:q} \
            --layer {params.layer} \
            --patch_labels {output:q} \
            --dataset {params.dataset} \
            --n_workers {threads} \
            >{log:q} 2>&1
        """


rule train_probes:
    """Train linear segmentation heads, all settings in one pass."""
    input:
        shards=segmented_shards,
        patch_labels=PATCH_LABELS,
    output:
        f"{PROBES}/probes.safetensors",
    log:
        f"{PROBE_LOGS}/train_probes.log",
    benchmark:
        f"{PROBE_LOGS}/train_probes.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        layer=SEGMENTED["layer"],
        settings=flags(SEGMENTED["probes"]),
        how=probe_flags,
    shell:
        r"""
        python scripts/train_probes.py \
            --shards {input.shards:q} \
            --layer {params.layer} \
            --patch_labels {input.patch_labels:q} \
            --probes {output:q} \
            {params.settings} \
            {params.how} \
            >{log:q} 2>&1
        """


rule evaluate_probes:
    """Choose a head on held-out training images; measure all on validation images."""
    input:
        shards=segmented_shards,
        patch_labels=PATCH_LABELS,
        probes=f"{PROBES}/probes.safetensors",
    output:
        probe_metrics=f"{PROBES}/probes.csv",
        probe=f"{PROBES}/probe.safetensors",
        baseline=f"{PROBES}/baseline.csv",
    log:
        f"{PROBE_LOGS}/evaluate_probes.log",
    benchmark:
        f"{PROBE_LOGS}/evaluate_probes.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        layer=SEGMENTED["layer"],
        device=device,
    shell:
        r"""
        python scripts/evaluate_probes.py \
            --shards {input.shards:q} \
            --layer {params.layer} \
            --patch_labels {input.patch_labels:q} \
            --probes {input.probes:q} \
            --probe_metrics {output.probe_metrics:q} \
            --probe {output.probe:q} \
            --baseline {output.baseline:q} \
            {params.device} \
            >{log:q} 2>&1
        """


rule find_class_directions:
    """Find along which direction of an autoencoder's layer each class's logit rises."""
    input:
        encoder_files,
        evaluated_data,
        images=IMAGES,
        patch_labels=PATCH_LABELS,
        probe=f"{PROBES}/probe.safetensors",
    output:
        DIRECTIONS,
    log:
        f"{STUDY_LOGS}/{{encoder}}/layer{{layer}}/find_class_directions.log",
    benchmark:
        f"{STUDY_LOGS}/{{encoder}}/layer{{layer}}/find_class_directions.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        reads=encoder_sources,
        dataset=EVALUATED,
        root=evaluated_root,
        encoder=encoder_alone_flags,
        weights=weights,
        hub=hub_flags,
        probe_layer=SEGMENTED["layer"],
        n_gradient_images=SEGMENTED["n_gradient_images"],
        device=device,
    shell:
        r"""
        HF_HUB_OFFLINE=1 python scripts/find_class_directions.py \
            --root {params.root:q} \
            --images {input.images:q} \
            --patch_labels {input.patch_labels:q} \
            --probe {input.probe:q} \
            --directions {output:q} \
            --dataset {params.dataset} \
            --layer {wildcards.layer} \
            --probe_layer {params.probe_layer} \
            --n_gradient_images {params.n_gradient_images} \
            {params.encoder} \
            --weights {params.weights:q} \
            {params.hub} \
            {params.device} \
            >{log:q} 2>&1
        """


rule find_class_latents:
    """Find the latents that detect each class on training patches."""
    input:
        shards=segmented_shards,
        patch_labels=PATCH_LABELS,
        checkpoints=f"{FAMILY}/checkpoints.json",
        directions=DIRECTIONS,
    output:
        class_latents=f"{SUPPRESSION}/class_latents.csv",
        activity=f"{SUPPRESSION}/latent_activity.csv",
    log:
        f"{SUPPRESSION_LOGS}/find_class_latents.log",
    benchmark:
        f"{SUPPRESSION_LOGS}/find_class_latents.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        fit_dataset=fit_dataset,
        settings=flags(SEGMENTED["ranking"]),
        picked=own_choice,
        device=device,
    shell:
        r"""
        NUMBA_NUM_THREADS={threads} python scripts/find_class_latents.py \
            --shards {input.shards:q} \
            --layer {wildcards.layer} \
            --patch_labels {input.patch_labels:q} \
            --checkpoints {input.checkpoints:q} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            --run {wildcards.run} \
            --directions {input.directions:q} \
            --class_latents {output.class_latents:q} \
            --activity {output.activity:q} \
            {params.picked} \
            {params.settings} \
            {params.device} \
            >{log:q} 2>&1
        """


rule suppress_latents:
    """Suppress each class's latents, and controls, and count what is still found."""
    input:
        encoder_files,
        evaluated_data,
        images=IMAGES,
        shards=segmented_shards,
        patch_labels=PATCH_LABELS,
        probe=f"{PROBES}/probe.safetensors",
        checkpoints=f"{FAMILY}/checkpoints.json",
        class_latents=f"{SUPPRESSION}/class_latents.csv",
        activity=f"{SUPPRESSION}/latent_activity.csv",
        directions=DIRECTIONS,
    output:
        counts=f"{SUPPRESSION}/counts.h5",
        changes=f"{SUPPRESSION}/changes.csv",
    log:
        f"{SUPPRESSION_LOGS}/suppress_latents.log",
    benchmark:
        f"{SUPPRESSION_LOGS}/suppress_latents.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        reads=encoder_sources,
        dataset=EVALUATED,
        root=evaluated_root,
        encoder=encoder_alone_flags,
        weights=weights,
        hub=hub_flags,
        probe_layer=SEGMENTED["layer"],
        fit_dataset=fit_dataset,
        settings=flags(
            {
                key: value
                for key, value in SEGMENTED["suppression"].items()
                if key != "dose"
            }
        ),
        device=device,
    shell:
        r"""
        HF_HUB_OFFLINE=1 python scripts/suppress_latents.py \
            --root {params.root:q} \
            --images {input.images:q} \
            --shards {input.shards:q} \
            --layer {wildcards.layer} \
            --probe_layer {params.probe_layer} \
            --patch_labels {input.patch_labels:q} \
            --probe {input.probe:q} \
            --checkpoints {input.checkpoints:q} \
            --class_latents {input.class_latents:q} \
            --activity {input.activity:q} \
            --directions {input.directions:q} \
            --counts {output.counts:q} \
            --changes {output.changes:q} \
            --dataset {params.dataset} \
            --fit_dataset {params.fit_dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            --run {wildcards.run} \
            {params.settings} \
            {params.encoder} \
            --weights {params.weights:q} \
            {params.hub} \
            {params.device} \
            >{log:q} 2>&1
        """


rule show_suppression:
    """Show images, masks and what is predicted before and after suppression."""
    input:
        encoder_files,
        evaluated_data,
        images=IMAGES,
        shards=segmented_shards,
        patch_labels=PATCH_LABELS,
        probe=f"{PROBES}/probe.safetensors",
        checkpoints=f"{FAMILY}/checkpoints.json",
        class_latents=f"{SUPPRESSION}/class_latents.csv",
        activity=f"{SUPPRESSION}/latent_activity.csv",
    output:
        directory(f"{SUPPRESSION}/pictures"),
    log:
        f"{SUPPRESSION_LOGS}/show_suppression.log",
    benchmark:
        f"{SUPPRESSION_LOGS}/show_suppression.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        reads=encoder_sources,
        dataset=EVALUATED,
        root=evaluated_root,
        encoder=encoder_alone_flags,
        weights=weights,
        hub=hub_flags,
        probe_layer=SEGMENTED["layer"],
        fit_dataset=fit_dataset,
        doses=SEGMENTED["suppression"]["doses"],
        shown=flags(SEGMENTED["pictures"]),
        device=device,
    shell:
        r"""
        HF_HUB_OFFLINE=1 python scripts/show_suppression.py \
            --root {params.root:q} \
            --images {input.images:q} \
            --shards {input.shards:q} \
            --layer {wildcards.layer} \
            --probe_layer {params.probe_layer} \
            --patch_labels {input.patch_labels:q} \
            --probe {input.probe:q} \
            --checkpoints {input.checkpoints:q} \
            --class_latents {input.class_latents:q} \
            --activity {input.activity:q} \
            --pictures {output:q} \
            --dataset {params.dataset} \
            --encoder {wildcards.encoder} \
            --method {wildcards.method} \
            --run {wildcards.run} \
            --doses {params.doses} \
            --fit_dataset {params.fit_dataset} \
            {params.shown} \
            {params.encoder} \
            --weights {params.weights:q} \
            {params.hub} \
            {params.device} \
            >{log:q} 2>&1
        """
