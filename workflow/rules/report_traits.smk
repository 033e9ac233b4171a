"""From AP to tables, charts and pages."""

MAP_TABLE = f"{STUDY}/map_table.csv"
EVERY_AP = every_family(f"{FAMILY}/ap.csv")
EXPECTED_AP = flags(
    {
        "study": config["study"],
        "dataset": EVALUATED,
        "families": write_families(FAMILIES),
        "n_train": config["selection"]["n_train"],
        "selection_seeds": config["selection"]["seeds"],
    }
)
# The answer is about the first encoder and layer of `runs`.
ANSWERED = {
    "encoder": first_of(config["runs"][0]["encoder"]),
    "layer": first_of(config["runs"][0]["layer"]),
}
PLACE_OF_ANSWER = flags(ANSWERED)
ANSWERING = [
    family
    for family in FAMILIES
    if (family.encoder, family.layer) == tuple(ANSWERED.values())
]
TRAIT_PAGES = f"{STUDY}/traits"
REPORT = [
    f"{STUDY}/map_table.md",
    f"{STUDY}/map_chart.png",
    f"{STUDY}/layer_table.md",
    f"{STUDY}/encoder_table.md",
    f"{STUDY}/group_table.md",
    f"{STUDY}/index.html",
]


# Made where Snakemake was started, also if a cluster has the other jobs.
localrules:
    tabulate_map,
    plot_map,
    compare_layers,
    compare_encoders,
    compare_groups,
    write_map_page,


rule tabulate_map:
    """Tabulate mAP with intervals, beside chance, and say which method is better."""
    input:
        ap=EVERY_AP,
        intervals=every_layer(f"{LAYER}/map_intervals.csv"),
        pairs=every_layer(f"{LAYER}/method_pairs.csv"),
        null=every_family(f"{FAMILY}/null.csv"),
        ceiling=EVERY_CEILING,
        ceiling_intervals=every_layer(f"{LAYER}/ceiling_intervals.csv"),
        rules=every_layer(f"{LAYER}/label_rules.csv"),
        splits=SPLITS,
        traits=TRAITS,
    output:
        table=f"{STUDY}/map_table.md",
        csv=MAP_TABLE,
        comparisons=f"{STUDY}/comparison_table.csv",
        answer=f"{STUDY}/answer.md",
    log:
        f"{STUDY_LOGS}/tabulate_map.log",
    benchmark:
        f"{STUDY_LOGS}/tabulate_map.tsv"
    params:
        place=PLACE_OF_ANSWER,
        controls=flags({"controls": UNTRAINED}),
        rule=flags(config["selection"]["labels"]),
        expected=EXPECTED_AP,
    shell:
        r"""
        python scripts/tabulate_map.py \
            --ap {input.ap:q} \
            --intervals {input.intervals:q} \
            --pairs {input.pairs:q} \
            --null {input.null:q} \
            --ceiling {input.ceiling:q} \
            --ceiling_intervals {input.ceiling_intervals:q} \
            --rules {input.rules:q} \
            --splits {input.splits:q} \
            --traits {input.traits:q} \
            --table {output.table:q} \
            --csv {output.csv:q} \
            --comparisons {output.comparisons:q} \
            --answer {output.answer:q} \
            {params.place} \
            {params.controls} \
            {params.rule} \
            {params.expected} \
            >{log:q} 2>&1
        """


rule plot_map:
    """Draw mAP against the numbers of training images and of prototypes."""
    input:
        MAP_TABLE,
    output:
        png=f"{STUDY}/map_chart.png",
        svg=f"{STUDY}/map_chart.svg",
    log:
        f"{STUDY_LOGS}/plot_map.log",
    benchmark:
        f"{STUDY_LOGS}/plot_map.tsv"
    params:
        place=PLACE_OF_ANSWER,
        looks=LOOKS,
    shell:
        r"""
        python scripts/plot_map.py \
            --map_table {input:q} \
            --png {output.png:q} \
            --svg {output.svg:q} \
            {params.place} \
            {params.looks} \
            >{log:q} 2>&1
        """


rule compare_layers:
    """Compare layers: mAP of each method in each."""
    input:
        MAP_TABLE,
    output:
        table=f"{STUDY}/layer_table.md",
        csv=f"{STUDY}/layer_table.csv",
        png=f"{STUDY}/layer_chart.png",
        svg=f"{STUDY}/layer_chart.svg",
    log:
        f"{STUDY_LOGS}/compare_layers.log",
    benchmark:
        f"{STUDY_LOGS}/compare_layers.tsv"
    params:
        looks=LOOKS,
    shell:
        r"""
        python scripts/compare_layers.py \
            --map_table {input:q} \
            --table {output.table:q} \
            --csv {output.csv:q} \
            --png {output.png:q} \
            --svg {output.svg:q} \
            {params.looks} \
            >{log:q} 2>&1
        """


rule compare_encoders:
    """Compare encoders, each in the layer that is best on training images."""
    input:
        MAP_TABLE,
    output:
        table=f"{STUDY}/encoder_table.md",
        csv=f"{STUDY}/encoder_table.csv",
        png=f"{STUDY}/encoder_chart.png",
        svg=f"{STUDY}/encoder_chart.svg",
    log:
        f"{STUDY_LOGS}/compare_encoders.log",
    benchmark:
        f"{STUDY_LOGS}/compare_encoders.tsv"
    shell:
        r"""
        python scripts/compare_encoders.py \
            --map_table {input:q} \
            --table {output.table:q} \
            --csv {output.csv:q} \
            --png {output.png:q} \
            --svg {output.svg:q} \
            >{log:q} 2>&1
        """


rule compare_groups:
    """Compare kinds of traits, and attributes: AP of each method."""
    input:
        map_table=MAP_TABLE,
        groups=every_layer(f"{LAYER}/group_intervals.csv"),
    output:
        table=f"{STUDY}/group_table.md",
        csv=f"{STUDY}/group_table.csv",
        png=f"{STUDY}/group_chart.png",
        svg=f"{STUDY}/group_chart.svg",
    log:
        f"{STUDY_LOGS}/compare_groups.log",
    benchmark:
        f"{STUDY_LOGS}/compare_groups.tsv"
    params:
        looks=LOOKS,
    shell:
        r"""
        python scripts/compare_groups.py \
            --map_table {input.map_table:q} \
            --groups {input.groups:q} \
            --table {output.table:q} \
            --csv {output.csv:q} \
            --png {output.png:q} \
            --svg {output.svg:q} \
            {params.looks} \
            >{log:q} 2>&1
        """


rule show_traits:
    """Show, for each trait, the images that its prototypes find and miss."""
    input:
        evaluated_data,
        images=IMAGES,
        splits=SPLITS,
        traits=TRAITS,
        shards=shards(EVALUATED, ANSWERED["encoder"]),
        map_table=MAP_TABLE,
        trait_intervals=f"{LAYER}/trait_intervals.csv".format(**ANSWERED),
        ceiling=f"{LAYER}/ceiling.csv".format(**ANSWERED),
        ap=every_family(f"{FAMILY}/ap.csv", ANSWERING),
        chosen=every_family(f"{FAMILY}/chosen_scores.h5", ANSWERING),
        checkpoints=every_family(f"{FAMILY}/checkpoints.json", ANSWERING),
    output:
        directory(TRAIT_PAGES),
    log:
        f"{STUDY_LOGS}/show_traits.log",
    benchmark:
        f"{STUDY_LOGS}/show_traits.tsv"
    threads: 8
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        root=evaluated_root,
        dataset=EVALUATED,
        fit_datasets=flags({"fit_datasets": [*map(fit_dataset, ANSWERING)]}),
        place=PLACE_OF_ANSWER,
        looks=LOOKS,
        n_images=config["features"]["n_images"],
    shell:
        r"""
        python scripts/show_traits.py \
            --root {params.root:q} \
            --images {input.images:q} \
            --splits {input.splits:q} \
            --traits {input.traits:q} \
            --shards {input.shards:q} \
            --map_table {input.map_table:q} \
            --trait_intervals {input.trait_intervals:q} \
            --ceiling {input.ceiling:q} \
            --ap {input.ap:q} \
            --chosen {input.chosen:q} \
            --checkpoints {input.checkpoints:q} \
            --trait_pages {output:q} \
            --dataset {params.dataset} \
            {params.place} \
            {params.fit_datasets} \
            {params.looks} \
            --n_images {params.n_images} \
            >{log:q} 2>&1
        """


rule write_map_page:
    """Write the result as one page that opens offline."""
    input:
        ap=EVERY_AP,
        splits=SPLITS,
        traits=TRAITS,
        map_table=MAP_TABLE,
        answer=f"{STUDY}/answer.md",
        map_chart=f"{STUDY}/map_chart.svg",
        layer_chart=f"{STUDY}/layer_chart.svg",
        encoder_chart=f"{STUDY}/encoder_chart.svg",
        group_chart=f"{STUDY}/group_chart.svg",
        group_table=f"{STUDY}/group_table.csv",
        trait_intervals=every_layer(f"{LAYER}/trait_intervals.csv"),
        sae_metrics=SAE_METRICS,
        sae_front=f"{STUDY}/sae_front.svg" if SAE_FAMILIES else [],
        import_check=every_family(f"{FAMILY}/import_check.csv", IMPORTED_SAE_FAMILIES),
        features=EVERY_FEATURES,
        trait_pages=TRAIT_PAGES,
    output:
        f"{STUDY}/index.html",
    log:
        f"{STUDY_LOGS}/write_map_page.log",
    benchmark:
        f"{STUDY_LOGS}/write_map_page.tsv"
    params:
        n_correlated=config["held_out"]["n_correlated"],
        sae_families=flags({"sae_families": SAE_RUNS}),
        place=PLACE_OF_ANSWER,
        looks=LOOKS,
        expected=EXPECTED_AP,
    shell:
        r"""
        python scripts/write_map_page.py \
            --ap {input.ap:q} \
            --splits {input.splits:q} \
            --traits {input.traits:q} \
            --map_table {input.map_table:q} \
            --group_table {input.group_table:q} \
            --trait_intervals {input.trait_intervals:q} \
            --answer {input.answer:q} \
            --map_chart {input.map_chart:q} \
            --layer_chart {input.layer_chart:q} \
            --encoder_chart {input.encoder_chart:q} \
            --group_chart {input.group_chart:q} \
            --sae_metrics {input.sae_metrics:q} \
            --sae_front {input.sae_front:q} \
            --import_check {input.import_check:q} \
            --features {input.features:q} \
            --trait_pages {input.trait_pages:q} \
            --out {output:q} \
            --n_correlated {params.n_correlated} \
            {params.sae_families} \
            {params.place} \
            {params.looks} \
            {params.expected} \
            >{log:q} 2>&1
        """
