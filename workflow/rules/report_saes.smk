"""From what autoencoders are like to a table and charts: where a study has some."""

SAE_METRICS = every_family(f"{FAMILY}/sae_metrics.csv", SAE_FAMILIES)
SAE_RUNS = write_families({family: FAMILIES[family] for family in SAE_FAMILIES})
TRAINED_RUNS = write_families(
    {
        family: FAMILIES[family]
        for family in SAE_FAMILIES
        if config["methods"]["saes"][family.method]["trains"] != "nothing"
    }
)
SAE_REPORT = [
    f"{STUDY}/sae_table.md",
    f"{STUDY}/sae_curves.png",
    f"{STUDY}/sae_front.png",
    f"{STUDY}/sae_frequencies.png",
]


# Made where Snakemake was started, also if a cluster has the other jobs.
localrules:
    tabulate_saes,
    plot_sae_training,
    plot_sae_front,
    plot_sae_frequencies,


rule tabulate_saes:
    """Tabulate what the autoencoders are like on held-out images."""
    input:
        metrics=SAE_METRICS,
    output:
        table=f"{STUDY}/sae_table.md",
        csv=f"{STUDY}/sae_table.csv",
    log:
        f"{STUDY_LOGS}/tabulate_saes.log",
    benchmark:
        f"{STUDY_LOGS}/tabulate_saes.tsv"
    params:
        n_correlated=config["held_out"]["n_correlated"],
        sae_families=flags({"sae_families": SAE_RUNS}),
    shell:
        r"""
        python scripts/tabulate_saes.py \
            --sae_metrics {input.metrics:q} \
            --n_correlated {params.n_correlated} \
            --table {output.table:q} \
            --csv {output.csv:q} \
            {params.sae_families} \
            >{log:q} 2>&1
        """


rule plot_sae_training:
    """Draw how the autoencoders learnt."""
    input:
        training=every_family(f"{FAMILY}/training.csv", SAE_FAMILIES),
    output:
        png=f"{STUDY}/sae_curves.png",
        svg=f"{STUDY}/sae_curves.svg",
    log:
        f"{STUDY_LOGS}/plot_sae_training.log",
    benchmark:
        f"{STUDY_LOGS}/plot_sae_training.tsv"
    params:
        sae_families=flags({"sae_families": TRAINED_RUNS}),
    shell:
        r"""
        python scripts/plot_sae_training.py \
            --training {input.training:q} \
            --png {output.png:q} \
            --svg {output.svg:q} \
            {params.sae_families} \
            >{log:q} 2>&1
        """


rule plot_sae_front:
    """Draw what autoencoders leave unexplained against how sparse they are."""
    input:
        metrics=SAE_METRICS,
    output:
        png=f"{STUDY}/sae_front.png",
        svg=f"{STUDY}/sae_front.svg",
    log:
        f"{STUDY_LOGS}/plot_sae_front.log",
    benchmark:
        f"{STUDY_LOGS}/plot_sae_front.tsv"
    params:
        sae_families=flags({"sae_families": SAE_RUNS}),
        looks=LOOKS,
    shell:
        r"""
        python scripts/plot_sae_front.py \
            --sae_metrics {input.metrics:q} \
            --png {output.png:q} \
            --svg {output.svg:q} \
            {params.sae_families} \
            {params.looks} \
            >{log:q} 2>&1
        """


rule plot_sae_frequencies:
    """Draw how often latents are active, and how many never are."""
    input:
        latents=every_family(f"{FAMILY}/latents.h5", SAE_FAMILIES),
    output:
        png=f"{STUDY}/sae_frequencies.png",
        svg=f"{STUDY}/sae_frequencies.svg",
    log:
        f"{STUDY_LOGS}/plot_sae_frequencies.log",
    benchmark:
        f"{STUDY_LOGS}/plot_sae_frequencies.tsv"
    params:
        sae_families=flags({"sae_families": SAE_RUNS}),
    shell:
        r"""
        python scripts/plot_sae_frequencies.py \
            --latents {input.latents:q} \
            --png {output.png:q} \
            --svg {output.svg:q} \
            {params.sae_families} \
            >{log:q} 2>&1
        """
