"""vitproto: do prototypes in a vision transformer's activation space find traits?

Which study runs is a file in config/: the real one unless `--configfile` names another.
"""

if "study" not in config:  # Snakemake would merge the two studies key by key

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/demo.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/prototypes.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/report_saes.smk"


if "selection" in config:  # which prototypes find traits

    include: "workflow/rules/traits.smk"
    include: "workflow/rules/report_traits.smk"

else:  # which latents a segmentation head relies on

    include: "workflow/rules/segmentation.smk"
    include: "workflow/rules/report_segmentation.smk"


include: "workflow/rules/planning.smk"


# What results were made of decides which jobs run; each job notes it beside them.
decide_by_origins(workflow, config, BY_CONTENT, DIGESTS)
note_origins(workflow, BY_CONTENT, DIGESTS)
check_before_first_job(
    workflow,
    *(missing_inputs, missing_weights, small_disks),
    *(refusals_of_slurm, jobs_left_on_slurm),
    prepare=list_jobs_of_study,
)
end_with_failures(workflow, ERRORS)
on_slurm.learn_from_failures(REQUESTS, ERRORS)
on_slurm.read_states(lambda: workflow.executor_settings)


rule all:
    default_target: True
    input:
        EVERY_RESULT,
        f"{STUDY}/cost_table.md",
