"""From the records of all jobs to what the study cost."""

EVERY_RESULT = [
    *REPORT,
    *(SAE_REPORT if SAE_FAMILIES else []),
    *EVERY_FEATURES,
]
JOBS = study_jobs(config)


def record(job):
    """Where Snakemake keeps the time and memory of a job of this study."""
    return str(getattr(rules, job.stage).benchmark).format(**job.wildcards)


# Made where Snakemake was started, also if a cluster has the other jobs.
localrules:
    tabulate_cost,


rule tabulate_cost:
    """Tabulate what the jobs of the study took, those that other studies share too.

    Records are no inputs: Snakemake would run a job again for a record that is gone.
    """
    input:
        EVERY_RESULT,
    output:
        table=f"{STUDY}/cost_table.md",
        csv=f"{STUDY}/cost_table.csv",
    log:
        f"{STUDY_LOGS}/tabulate_cost.log",
    params:
        stages=[job.stage for job in JOBS],
        records=[record(job) for job in JOBS],
    shell:
        "python scripts/tabulate_cost.py --stages {params.stages}"
        " --records {params.records:q} --table {output.table} --csv {output.csv}"
        " > {log} 2>&1"
