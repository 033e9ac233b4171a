"""vitproto: do prototypes in a vision transformer's activation space find traits?

Which study runs is a file in config/: the real one unless `--configfile` names another.
"""

if "study" not in config:  # Snakemake would merge the two studies key by key

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/prototypes.smk"
include: "workflow/rules/traits.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/report.smk"


note_origins(workflow)  # beside what each job makes: the code, settings and inputs


rule all:
    default_target: True
    input:
        f"{STUDY}/map_table.md",
        f"{STUDY}/map_chart.png",
        f"{STUDY}/layer_table.md",
        f"{STUDY}/encoder_table.md",
        f"{STUDY}/group_table.md",
        f"{STUDY}/index.html",
        SAE_REPORT if SAE_FAMILIES else [],
        EVERY_FEATURES,


onstart:
    stop_without_inputs()
