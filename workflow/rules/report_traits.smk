"""From AP to tables, charts and pages."""

EVERY_AP = every_family(f"{FAMILY}/ap.csv")
EXPECTED_AP = flags(
    {
        "study": config["study"],
        "dataset": EVALUATED,
        "runs": write_families(FAMILIES),
        "n_train": config["selection"]["n_train"],
        "selection_seeds": config["selection"]["seeds"],
    }
)
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
    """Tabulate mAP, its spread over traits and chance."""
    input:
        ap=EVERY_AP,
        splits=SPLITS,
        traits=TRAITS,
    output:
        table=f"{STUDY}/map_table.md",
        csv=f"{STUDY}/map_table.csv",
    log:
        f"{STUDY_LOGS}/tabulate_map.log",
    benchmark:
        f"{STUDY_LOGS}/tabulate_map.tsv"
    params:
        expected=EXPECTED_AP,
    shell:
        r"""
        python scripts/tabulate_map.py \
            --ap {input.ap} \
            --splits {input.splits} \
            --traits {input.traits} \
            --table {output.table} \
            --csv {output.csv} \
            {params.expected} \
            >{log} 2>&1
        """


rule plot_map:
    """Draw mAP against the number of training images, beside chance."""
    input:
        ap=EVERY_AP,
        splits=SPLITS,
        traits=TRAITS,
    output:
        png=f"{STUDY}/map_chart.png",
        svg=f"{STUDY}/map_chart.svg",
    log:
        f"{STUDY_LOGS}/plot_map.log",
    benchmark:
        f"{STUDY_LOGS}/plot_map.tsv"
    params:
        expected=EXPECTED_AP,
    shell:
        r"""
        python scripts/plot_map.py \
            --ap {input.ap} \
            --splits {input.splits} \
            --traits {input.traits} \
            --png {output.png} \
            --svg {output.svg} \
            {params.expected} \
            >{log} 2>&1
        """


rule compare_layers:
    """Compare layers: mAP of each method in each."""
    input:
        ap=EVERY_AP,
        splits=SPLITS,
        traits=TRAITS,
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
        expected=EXPECTED_AP,
    shell:
        r"""
        python scripts/compare_layers.py \
            --ap {input.ap} \
            --splits {input.splits} \
            --traits {input.traits} \
            --table {output.table} \
            --csv {output.csv} \
            --png {output.png} \
            --svg {output.svg} \
            {params.expected} \
            >{log} 2>&1
        """


rule compare_encoders:
    """Compare encoders, each in the layer that is best on training images."""
    input:
        ap=EVERY_AP,
        splits=SPLITS,
        traits=TRAITS,
    output:
        table=f"{STUDY}/encoder_table.md",
        csv=f"{STUDY}/encoder_table.csv",
        png=f"{STUDY}/encoder_chart.png",
        svg=f"{STUDY}/encoder_chart.svg",
    log:
        f"{STUDY_LOGS}/compare_encoders.log",
    benchmark:
        f"{STUDY_LOGS}/compare_encoders.tsv"
    params:
        expected=EXPECTED_AP,
    shell:
        r"""
        python scripts/compare_encoders.py \
            --ap {input.ap} \
            --splits {input.splits} \
            --traits {input.traits} \
            --table {output.table} \
            --csv {output.csv} \
            --png {output.png} \
            --svg {output.svg} \
            {params.expected} \
            >{log} 2>&1
        """


rule compare_groups:
    """Compare kinds of traits, and attributes: AP of each method."""
    input:
        ap=EVERY_AP,
        splits=SPLITS,
        traits=TRAITS,
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
        expected=EXPECTED_AP,
    shell:
        r"""
        python scripts/compare_groups.py \
            --ap {input.ap} \
            --splits {input.splits} \
            --traits {input.traits} \
            --table {output.table} \
            --csv {output.csv} \
            --png {output.png} \
            --svg {output.svg} \
            {params.expected} \
            >{log} 2>&1
        """


rule write_map_page:
    """Write the result as one page that opens offline."""
    input:
        ap=EVERY_AP,
        splits=SPLITS,
        traits=TRAITS,
        map_chart=f"{STUDY}/map_chart.svg",
        layer_chart=f"{STUDY}/layer_chart.svg",
        encoder_chart=f"{STUDY}/encoder_chart.svg",
        group_chart=f"{STUDY}/group_chart.svg",
        sae_metrics=SAE_METRICS,
        sae_front=f"{STUDY}/sae_front.svg" if SAE_FAMILIES else [],
        features=EVERY_FEATURES,
    output:
        f"{STUDY}/index.html",
    log:
        f"{STUDY_LOGS}/write_map_page.log",
    benchmark:
        f"{STUDY_LOGS}/write_map_page.tsv"
    params:
        n_correlated=config["held_out"]["n_correlated"],
        sae_runs=flags({"sae_runs": SAE_RUNS}),
        expected=EXPECTED_AP,
    shell:
        r"""
        python scripts/write_map_page.py \
            --ap {input.ap} \
            --splits {input.splits} \
            --traits {input.traits} \
            --map_chart {input.map_chart} \
            --layer_chart {input.layer_chart} \
            --encoder_chart {input.encoder_chart} \
            --group_chart {input.group_chart} \
            --sae_metrics {input.sae_metrics} \
            --sae_front {input.sae_front} \
            --features {input.features} \
            --out {output} \
            --n_correlated {params.n_correlated} \
            {params.sae_runs} \
            {params.expected} \
            >{log} 2>&1
        """
