"""From the records of all jobs to what the study cost."""

EVERY_RESULT = [
    *REPORT,
    *(SAE_REPORT if SAE_FAMILIES else []),
    *EVERY_FEATURES,
]
JOB_LIST = f"{STUDY_LOGS}/jobs.csv"


def list_jobs_of_study():
    """List the jobs whose records `tabulate_cost` reads, as Snakemake's graph has them.

    This happens before the first job of a run: later, the process that runs
    `tabulate_cost` may have a graph with no other job.
    """
    write_job_list(workflow.dag, "tabulate_cost", Path(JOB_LIST))


# Made where Snakemake was started, also if a cluster has the other jobs.
localrules:
    tabulate_cost,


rule tabulate_cost:
    """Tabulate what the jobs of the study took, those that other studies share too.

    Records are not inputs: Snakemake would run a job again for a record that is gone.
    """
    input:
        results=EVERY_RESULT,
    output:
        table=f"{STUDY}/cost_table.md",
        csv=f"{STUDY}/cost_table.csv",
    log:
        f"{STUDY_LOGS}/tabulate_cost.log",
    params:
        jobs=JOB_LIST,
    shell:
        r"""
        python scripts/tabulate_cost.py \
            --jobs {params.jobs:q} \
            --table {output.table:q} \
            --csv {output.csv:q} \
            >{log:q} 2>&1
        """
