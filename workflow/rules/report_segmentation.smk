"""From what suppression did to tables, charts and a page."""

EXPECTED_SAES = flags(
    {
        "sae_families": suppressed_runs(),
        "probe_layer": SEGMENTED["layer"],
        "doses": SEGMENTED["suppression"]["doses"],
        "controls": UNTRAINED,
    }
)
REPORT = [
    f"{STUDY}/suppression_table.md",
    f"{STUDY}/dose_chart.png",
    f"{STUDY}/probe_table.md",
    f"{STUDY}/index.html",
]


# Made where Snakemake was started, also if a cluster has the other jobs.
localrules:
    tabulate_probes,
    plot_suppression,
    tabulate_suppression,
    write_suppression_page,


rule tabulate_probes:
    """Tabulate how well the heads segment, and the chosen one each class."""
    input:
        probe_metrics=f"{PROBES}/probes.csv",
        baseline=f"{PROBES}/baseline.csv",
    output:
        table=f"{STUDY}/probe_table.md",
        csv=f"{STUDY}/probe_table.csv",
    log:
        f"{STUDY_LOGS}/tabulate_probes.log",
    benchmark:
        f"{STUDY_LOGS}/tabulate_probes.tsv"
    shell:
        r"""
        python scripts/tabulate_probes.py \
            --probe_metrics {input.probe_metrics:q} \
            --baseline {input.baseline:q} \
            --table {output.table:q} \
            --csv {output.csv:q} \
            >{log:q} 2>&1
        """


rule measure_suppression:
    """Measure losses at equal edit length, from pixel counts of all autoencoders."""
    input:
        counts=every_suppression("counts.h5"),
    output:
        suppression=every_suppression("suppression.csv"),
        summary=f"{STUDY}/suppression_table.csv",
        comparison=f"{STUDY}/suppression_comparison.csv",
    log:
        f"{STUDY_LOGS}/measure_suppression.log",
    benchmark:
        f"{STUDY_LOGS}/measure_suppression.tsv"
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        controls=flags({"controls": UNTRAINED}),
    shell:
        r"""
        python scripts/measure_suppression.py \
            --counts {input.counts:q} \
            --suppression {output.suppression:q} \
            --summary {output.summary:q} \
            --comparison {output.comparison:q} \
            {params.controls} \
            >{log:q} 2>&1
        """


rule plot_suppression:
    """Draw what a class and the others lose, dose by dose and class by class."""
    input:
        suppression=every_suppression("suppression.csv"),
        class_latents=every_suppression("class_latents.csv"),
        changes=every_suppression("changes.csv"),
        summary=f"{STUDY}/suppression_table.csv",
        comparison=f"{STUDY}/suppression_comparison.csv",
    output:
        dose_png=f"{STUDY}/dose_chart.png",
        dose_svg=f"{STUDY}/dose_chart.svg",
        class_png=f"{STUDY}/class_chart.png",
        class_svg=f"{STUDY}/class_chart.svg",
    log:
        f"{STUDY_LOGS}/plot_suppression.log",
    benchmark:
        f"{STUDY_LOGS}/plot_suppression.tsv"
    params:
        dose=SEGMENTED["suppression"]["dose"],
        expected=EXPECTED_SAES,
    shell:
        r"""
        python scripts/plot_suppression.py \
            --suppression {input.suppression:q} \
            --class_latents {input.class_latents:q} \
            --changes {input.changes:q} \
            --summary {input.summary:q} \
            --comparison {input.comparison:q} \
            --dose_png {output.dose_png:q} \
            --dose_svg {output.dose_svg:q} \
            --class_png {output.class_png:q} \
            --class_svg {output.class_svg:q} \
            --dose={params.dose} \
            {params.expected} \
            >{log:q} 2>&1
        """


rule tabulate_suppression:
    """Tabulate what each class and the others lose, beside controls."""
    input:
        suppression=every_suppression("suppression.csv"),
        class_latents=every_suppression("class_latents.csv"),
        changes=every_suppression("changes.csv"),
        summary=f"{STUDY}/suppression_table.csv",
        comparison=f"{STUDY}/suppression_comparison.csv",
        dose_chart=f"{STUDY}/dose_chart.png",
        class_chart=f"{STUDY}/class_chart.png",
        pictures=every_suppression("pictures"),
    output:
        f"{STUDY}/suppression_table.md",
    log:
        f"{STUDY_LOGS}/tabulate_suppression.log",
    benchmark:
        f"{STUDY_LOGS}/tabulate_suppression.tsv"
    params:
        dose=SEGMENTED["suppression"]["dose"],
        expected=EXPECTED_SAES,
    shell:
        r"""
        python scripts/tabulate_suppression.py \
            --suppression {input.suppression:q} \
            --class_latents {input.class_latents:q} \
            --changes {input.changes:q} \
            --summary {input.summary:q} \
            --comparison {input.comparison:q} \
            --dose_chart {input.dose_chart:q} \
            --class_chart {input.class_chart:q} \
            --pictures {input.pictures:q} \
            --table {output:q} \
            --dose={params.dose} \
            {params.expected} \
            >{log:q} 2>&1
        """


rule write_suppression_page:
    """Write the result as one page that opens offline."""
    input:
        probe_metrics=f"{PROBES}/probes.csv",
        baseline=f"{PROBES}/baseline.csv",
        suppression=every_suppression("suppression.csv"),
        class_latents=every_suppression("class_latents.csv"),
        changes=every_suppression("changes.csv"),
        summary=f"{STUDY}/suppression_table.csv",
        comparison=f"{STUDY}/suppression_comparison.csv",
        dose_chart=f"{STUDY}/dose_chart.svg",
        class_chart=f"{STUDY}/class_chart.svg",
        pictures=every_suppression("pictures"),
    output:
        f"{STUDY}/index.html",
    log:
        f"{STUDY_LOGS}/write_suppression_page.log",
    benchmark:
        f"{STUDY_LOGS}/write_suppression_page.tsv"
    params:
        dataset=EVALUATED,
        dose=SEGMENTED["suppression"]["dose"],
        expected=EXPECTED_SAES,
    shell:
        r"""
        python scripts/write_suppression_page.py \
            --probe_metrics {input.probe_metrics:q} \
            --baseline {input.baseline:q} \
            --suppression {input.suppression:q} \
            --class_latents {input.class_latents:q} \
            --changes {input.changes:q} \
            --summary {input.summary:q} \
            --comparison {input.comparison:q} \
            --dose_chart {input.dose_chart:q} \
            --class_chart {input.class_chart:q} \
            --pictures {input.pictures:q} \
            --out {output:q} \
            --dataset {params.dataset} \
            --dose={params.dose} \
            {params.expected} \
            >{log:q} 2>&1
        """
