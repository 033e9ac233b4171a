"""From AP to tables, charts and pages."""

EVERY_AP = every_family(f"{FAMILY}/ap.csv")


rule tabulate_map:
    """Tabulate mean AP by method, number of prototypes and training images."""
    input:
        ap=EVERY_AP,
    output:
        table=f"{STUDY}/map_table.md",
        csv=f"{STUDY}/map_table.csv",
    log:
        f"{STUDY_LOGS}/tabulate_map.log",
    params:
        code=fingerprint("tabulate_map"),
    resources:
        mem_mb=4000,
        runtime=10,
    shell:
        "python scripts/tabulate_map.py --ap {input.ap} --table {output.table}"
        " --csv {output.csv} > {log} 2>&1"
