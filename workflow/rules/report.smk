"""From AP to tables, charts and pages."""

EVERY_AP = every_family(f"{FAMILY}/ap.csv")
IMAGES = f"{DATA}.images.csv".format(dataset=EVALUATED)


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
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("plot_map"),
    shell:
        "python scripts/plot_map.py --ap {input.ap} --png {output.png}"
        " --svg {output.svg} > {log} 2>&1"


rule write_map_page:
    """Write the result as one page that opens offline."""
    input:
        ap=EVERY_AP,
        images=IMAGES,
        chart=f"{STUDY}/map_chart.svg",
    output:
        f"{STUDY}/index.html",
    log:
        f"{STUDY_LOGS}/write_map_page.log",
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=fingerprint("write_map_page"),
    shell:
        "python scripts/write_map_page.py --ap {input.ap} --images {input.images}"
        " --chart {input.chart} --out {output} > {log} 2>&1"
