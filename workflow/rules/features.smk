"""From prototypes to the images and patches that drive them: one job per run shown."""

EVERY_FEATURES = [
    FEATURES.format(**row, asked="") for row in config["features"]["runs"]
]


def shown_prototypes(wildcards):
    """The prototypes to show: the study's choice, or those that were asked for."""
    choice = {key: value for key, value in config["features"].items() if key != "runs"}
    if wildcards.asked:
        asked = [int(number) for number in wildcards.asked[1:].split(",")]
        choice |= {"listed": asked, "n_in_range": 0, "n_sampled": 0}
    return flags(choice)


def when_traits(files):
    """Files of a study that looks for traits; nothing in others."""
    return files if "selection" in config else []


rule show_features:
    """Show prototypes of a run with the images and patches that score highest."""
    input:
        evaluated_data,
        images=IMAGES,
        shards=evaluated_shards,
        checkpoints=f"{FAMILY}/checkpoints.json",
        splits=when_traits(SPLITS),
        traits=when_traits(TRAITS),
        scores=when_traits(family_scores),
        ap=when_traits(f"{FAMILY}/ap.csv"),
    output:
        directory(FEATURES),
    log:
        f"{FAMILY_LOGS}/show_features-{{run}}{{asked}}.log",
    benchmark:
        f"{FAMILY_LOGS}/show_features-{{run}}{{asked}}.tsv"
    threads: 8
    resources:
        gpu=1,
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        root=evaluated_root,
        dataset=EVALUATED,
        fit_dataset=fit_dataset,
        home=STUDY,
        runs=runs_of_family,
        device=device,
        settings=shown_prototypes,
    shell:
        r"""
        python scripts/show_features.py \
            --root {params.root:q} \
            --images {input.images:q} \
            --shards {input.shards:q} \
            --checkpoints {input.checkpoints:q} \
            --splits {input.splits:q} \
            --traits {input.traits:q} \
            --scores {input.scores:q} \
            --ap {input.ap:q} \
            --features {output:q} \
            --home {params.home:q} \
            --dataset {params.dataset} \
            --encoder {wildcards.encoder} \
            --layer {wildcards.layer} \
            --method {wildcards.method} \
            --run {wildcards.run} \
            --runs {params.runs} \
            --fit_dataset {params.fit_dataset} \
            {params.settings} \
            {params.device} \
            >{log:q} 2>&1
        """
