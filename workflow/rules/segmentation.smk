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
    """Latents chosen by hand, by label: `--classes 29:8541,5818`."""
    (classes,) = [
        sae["classes"]
        for sae in SEGMENTED["saes"]
        if all(str(sae[key]) == wildcards[key] for key in ("layer", "method", "run"))
    ]
    picked = [
        f"{label}:{','.join(map(str, latents))}" for label, latents in classes.items()
    ]
    return flags({"classes": picked})


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
        root=evaluated_root,
        layer=SEGMENTED["layer"],
        reads=mask_sources,
    shell:
        "python scripts/label_patches.py --root {params.root} --images {input.images}"
        " --splits {input.splits} --shards {input.shards} --layer {params.layer}"
        " --out {output}"
        f" --name {EVALUATED} --n_workers {{threads}} > {{log}} 2>&1"


rule train_probes:
    """Train linear segmentation heads, all settings in one pass."""
    input:
        shards=segmented_shards,
        labels=PATCH_LABELS,
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
        device=device,
    shell:
        "python scripts/train_probes.py --shards {input.shards} --layer {params.layer}"
        " --patch_labels {input.labels} --out {output} {params.settings}"
        " {params.device} > {log} 2>&1"


rule evaluate_probes:
    """Measure the heads on every pixel of the validation images; keep the best."""
    input:
        shards=segmented_shards,
        labels=PATCH_LABELS,
        probes=f"{PROBES}/probes.safetensors",
    output:
        table=f"{PROBES}/probes.csv",
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
        "python scripts/evaluate_probes.py --shards {input.shards}"
        " --layer {params.layer} --patch_labels {input.labels}"
        " --probes {input.probes} --table {output.table} --best {output.probe}"
        " --baseline {output.baseline} {params.device} > {log} 2>&1"


rule find_class_directions:
    """Find along which direction of an autoencoder's layer each class's logit rises."""
    input:
        encoder_files,
        evaluated_data,
        images=IMAGES,
        labels=PATCH_LABELS,
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
        root=evaluated_root,
        encoder=encoder_alone_flags,
        weights=weights,
        hub=hub_flags,
        probe_layer=SEGMENTED["layer"],
        n_images=SEGMENTED["n_gradient_images"],
        device=device,
    shell:
        "HF_HUB_OFFLINE=1 python scripts/find_class_directions.py --root {params.root}"
        " --images {input.images} --patch_labels {input.labels}"
        f" --probe {{input.probe}} --out {{output}} --name {EVALUATED}"
        " --layer {wildcards.layer} --probe_layer {params.probe_layer}"
        " --n_gradient_images {params.n_images} {params.encoder}"
        " --checkpoint {params.weights} {params.hub} {params.device} > {log} 2>&1"


rule find_class_latents:
    """Find the latents that detect each class on training patches."""
    input:
        shards=segmented_shards,
        labels=PATCH_LABELS,
        checkpoints=f"{FAMILY}/checkpoints.json",
        directions=DIRECTIONS,
    output:
        latents=f"{SUPPRESSION}/class_latents.csv",
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
        classes=own_choice,
        device=device,
    shell:
        "NUMBA_NUM_THREADS={threads} python scripts/find_class_latents.py"
        " --shards {input.shards} --layer {wildcards.layer}"
        " --patch_labels {input.labels} --checkpoints {input.checkpoints}"
        " --fit_dataset {params.fit_dataset} --encoder {wildcards.encoder}"
        " --method {wildcards.method} --run_name {wildcards.run}"
        " --directions {input.directions}"
        " --out {output.latents} --activity {output.activity}"
        " {params.classes} {params.settings} {params.device} > {log} 2>&1"


rule suppress_latents:
    """Suppress each class's latents, and controls, and see what is still found."""
    input:
        encoder_files,
        evaluated_data,
        images=IMAGES,
        shards=segmented_shards,
        labels=PATCH_LABELS,
        probe=f"{PROBES}/probe.safetensors",
        checkpoints=f"{FAMILY}/checkpoints.json",
        latents=f"{SUPPRESSION}/class_latents.csv",
        activity=f"{SUPPRESSION}/latent_activity.csv",
        directions=DIRECTIONS,
    output:
        table=f"{SUPPRESSION}/suppression.csv",
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
        "HF_HUB_OFFLINE=1 python scripts/suppress_latents.py --root {params.root}"
        " --images {input.images} --shards {input.shards} --layer {wildcards.layer}"
        " --probe_layer {params.probe_layer} --patch_labels {input.labels}"
        " --probe {input.probe} --checkpoints {input.checkpoints}"
        " --class_latents {input.latents} --activity {input.activity}"
        " --directions {input.directions} --out {output.table}"
        f" --changes {{output.changes}} --name {EVALUATED}"
        " --fit_dataset {params.fit_dataset} --encoder {wildcards.encoder}"
        " --method {wildcards.method} --run_name {wildcards.run} {params.settings}"
        " {params.encoder} --checkpoint {params.weights} {params.hub} {params.device}"
        " > {log} 2>&1"


rule show_suppression:
    """Show images, masks and what is predicted before and after suppression."""
    input:
        encoder_files,
        evaluated_data,
        images=IMAGES,
        shards=segmented_shards,
        labels=PATCH_LABELS,
        probe=f"{PROBES}/probe.safetensors",
        checkpoints=f"{FAMILY}/checkpoints.json",
        latents=f"{SUPPRESSION}/class_latents.csv",
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
        root=evaluated_root,
        encoder=encoder_alone_flags,
        weights=weights,
        hub=hub_flags,
        probe_layer=SEGMENTED["layer"],
        fit_dataset=fit_dataset,
        dose=SEGMENTED["suppression"]["dose"],
        pictures=flags(SEGMENTED["pictures"]),
        device=device,
    shell:
        "HF_HUB_OFFLINE=1 python scripts/show_suppression.py --root {params.root}"
        " --images {input.images} --shards {input.shards} --layer {wildcards.layer}"
        " --probe_layer {params.probe_layer} --patch_labels {input.labels}"
        " --probe {input.probe} --checkpoints {input.checkpoints}"
        " --class_latents {input.latents} --activity {input.activity} --out {output}"
        f" --name {EVALUATED} --encoder {{wildcards.encoder}}"
        " --method {wildcards.method} --run_name {wildcards.run} --dose={params.dose}"
        " --fit_dataset {params.fit_dataset}"
        " {params.pictures} {params.encoder} --checkpoint {params.weights}"
        " {params.hub} {params.device} > {log} 2>&1"
