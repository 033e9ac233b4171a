"""From AP to tables, charts and pages."""

EVERY_AP = every_family(f"{FAMILY}/ap.csv")
SAE_METRICS = every_family(f"{FAMILY}/sae_metrics.csv", SAE_FAMILIES)


rule tabulate_map:
    """Tabulate mAP, its spread over traits and chance."""
    input:
        ap=EVERY_AP,
        images=IMAGES,
    output:
        table=f"{STUDY}/map_table.md",
        csv=f"{STUDY}/map_table.csv",
    log:
        f"{STUDY_LOGS}/tabulate_map.log",
    benchmark:
        f"{STUDY_LOGS}/tabulate_map.tsv"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("tabulate_map"),
    shell:
        "python scripts/tabulate_map.py --ap {input.ap} --images {input.images}"
        " --table {output.table} --csv {output.csv} > {log} 2>&1"


rule plot_map:
    """Draw mAP against the number of training images, beside chance."""
    input:
        ap=EVERY_AP,
    output:
        png=f"{STUDY}/map_chart.png",
        svg=f"{STUDY}/map_chart.svg",
    log:
        f"{STUDY_LOGS}/plot_map.log",
    benchmark:
        f"{STUDY_LOGS}/plot_map.tsv"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("plot_map"),
    shell:
        "python scripts/plot_map.py --ap {input.ap} --png {output.png}"
        " --svg {output.svg} > {log} 2>&1"


rule compare_layers:
    """Compare layers: mAP of each method in each."""
    input:
        ap=EVERY_AP,
    output:
        table=f"{STUDY}/layer_table.md",
        csv=f"{STUDY}/layer_table.csv",
        png=f"{STUDY}/layer_chart.png",
        svg=f"{STUDY}/layer_chart.svg",
    log:
        f"{STUDY_LOGS}/compare_layers.log",
    benchmark:
        f"{STUDY_LOGS}/compare_layers.tsv"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("compare_layers"),
    shell:
        "python scripts/compare_layers.py --ap {input.ap} --table {output.table}"
        " --csv {output.csv} --png {output.png} --svg {output.svg} > {log} 2>&1"


rule compare_encoders:
    """Compare encoders, each in the layer that is best on training images."""
    input:
        ap=EVERY_AP,
    output:
        table=f"{STUDY}/encoder_table.md",
        csv=f"{STUDY}/encoder_table.csv",
        png=f"{STUDY}/encoder_chart.png",
        svg=f"{STUDY}/encoder_chart.svg",
    log:
        f"{STUDY_LOGS}/compare_encoders.log",
    benchmark:
        f"{STUDY_LOGS}/compare_encoders.tsv"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("compare_encoders"),
    shell:
        "python scripts/compare_encoders.py --ap {input.ap} --table {output.table}"
        " --csv {output.csv} --png {output.png} --svg {output.svg} > {log} 2>&1"


rule compare_groups:
    """Compare kinds of traits, and attributes: AP of each method."""
    input:
        ap=EVERY_AP,
    output:
        table=f"{STUDY}/group_table.md",
        csv=f"{STUDY}/group_table.csv",
        png=f"{STUDY}/group_chart.png",
        svg=f"{STUDY}/group_chart.svg",
    log:
        f"{STUDY_LOGS}/compare_groups.log",
    benchmark:
        f"{STUDY_LOGS}/compare_groups.tsv"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("compare_groups"),
    shell:
        "python scripts/compare_groups.py --ap {input.ap} --table {output.table}"
        " --csv {output.csv} --png {output.png} --svg {output.svg} > {log} 2>&1"


rule write_map_page:
    """Write the result as one page that opens offline."""
    input:
        ap=EVERY_AP,
        images=IMAGES,
        chart=f"{STUDY}/map_chart.svg",
        layers=f"{STUDY}/layer_chart.svg",
        encoders=f"{STUDY}/encoder_chart.svg",
        groups=f"{STUDY}/group_chart.svg",
        sae_metrics=SAE_METRICS,
        sae_front=f"{STUDY}/sae_front.svg" if SAE_FAMILIES else [],
        features=EVERY_FEATURES,
    output:
        f"{STUDY}/index.html",
    log:
        f"{STUDY_LOGS}/write_map_page.log",
    benchmark:
        f"{STUDY_LOGS}/write_map_page.tsv"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        n_correlated=config["held_out"]["n_correlated"],
        code=fingerprint("write_map_page"),
    shell:
        "python scripts/write_map_page.py --ap {input.ap} --images {input.images}"
        " --chart {input.chart} --layers {input.layers} --encoders {input.encoders}"
        " --groups {input.groups} --sae_metrics {input.sae_metrics}"
        " --sae_front {input.sae_front} --features {input.features} --out {output}"
        " --n_correlated {params.n_correlated} > {log} 2>&1"


# What autoencoders are like: made where the study has some -----------------------

SAE_REPORT = [
    f"{STUDY}/sae_table.md",
    f"{STUDY}/sae_curves.png",
    f"{STUDY}/sae_front.png",
    f"{STUDY}/sae_frequencies.png",
]


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
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        n_correlated=config["held_out"]["n_correlated"],
        code=fingerprint("tabulate_saes"),
    shell:
        "python scripts/tabulate_saes.py --metrics {input.metrics}"
        " --n_correlated {params.n_correlated} --table {output.table}"
        " --csv {output.csv} > {log} 2>&1"


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
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("plot_sae_training"),
    shell:
        "python scripts/plot_sae_training.py --training {input.training}"
        " --png {output.png} --svg {output.svg} > {log} 2>&1"


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
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("plot_sae_front"),
    shell:
        "python scripts/plot_sae_front.py --metrics {input.metrics}"
        " --png {output.png} --svg {output.svg} > {log} 2>&1"


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
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("plot_sae_frequencies"),
    shell:
        "python scripts/plot_sae_frequencies.py --latents {input.latents}"
        " --png {output.png} --svg {output.svg} > {log} 2>&1"
