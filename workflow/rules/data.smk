"""From folders of images to lists of images and traits."""


# Made where Snakemake was started, also if a cluster has the other jobs.
localrules:
    list_cub200,
    list_image_folder,
    list_ade20k,
    list_table,
    read_traits,
    read_trait_table,


rule list_cub200:
    """List the images of CUB-200-2011, in their order once and for all, and the splits."""
    input:
        drawn_data,
    output:
        images=f"{DATA}.images.csv",
        splits=f"{DATA}.splits.csv",
    log:
        f"{LOGS}/list_cub200/{{dataset}}.log",
    benchmark:
        f"{LOGS}/list_cub200/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("cub200"),
    params:
        root=data_root,
        reads=list_sources,
    shell:
        r"""
        python scripts/list_cub200.py \
            --dataset {wildcards.dataset} \
            --root {params.root:q} \
            --images {output.images:q} \
            --splits {output.splits:q} \
            >{log:q} 2>&1
        """


rule list_image_folder:
    """List the images of a folder, in their order once and for all, and the splits."""
    input:
        drawn_data,
    output:
        images=f"{DATA}.images.csv",
        splits=f"{DATA}.splits.csv",
    log:
        f"{LOGS}/list_image_folder/{{dataset}}.log",
    benchmark:
        f"{LOGS}/list_image_folder/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("image_folder"),
    params:
        root=data_root,
        reads=list_sources,
    shell:
        r"""
        python scripts/list_image_folder.py \
            --dataset {wildcards.dataset} \
            --root {params.root:q} \
            --images {output.images:q} \
            --splits {output.splits:q} \
            >{log:q} 2>&1
        """


rule list_ade20k:
    """List the images of ADE20K, in their order once and for all, and the splits."""
    input:
        drawn_data,
    output:
        images=f"{DATA}.images.csv",
        splits=f"{DATA}.splits.csv",
    log:
        f"{LOGS}/list_ade20k/{{dataset}}.log",
    benchmark:
        f"{LOGS}/list_ade20k/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("ade20k"),
    params:
        root=data_root,
        reads=list_sources,
    shell:
        r"""
        python scripts/list_ade20k.py \
            --dataset {wildcards.dataset} \
            --root {params.root:q} \
            --images {output.images:q} \
            --splits {output.splits:q} \
            >{log:q} 2>&1
        """


rule list_table:
    """List the images of a table of traits, and the splits."""
    output:
        images=f"{DATA}.images.csv",
        splits=f"{DATA}.splits.csv",
    log:
        f"{LOGS}/list_table/{{dataset}}.log",
    benchmark:
        f"{LOGS}/list_table/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("table"),
    params:
        root=data_root,
        table=table_file,
        reads=list_sources,
        split=split_flags,
    shell:
        r"""
        python scripts/list_table.py \
            --dataset {wildcards.dataset} \
            --root {params.root:q} \
            --table {params.table:q} \
            --images {output.images:q} \
            --splits {output.splits:q} \
            {params.split} \
            >{log:q} 2>&1
        """


rule read_traits:
    """Read which images show which traits."""
    input:
        drawn_data,
        splits=f"{DATA}.splits.csv",
    output:
        traits=f"{STUDY}/{{dataset}}.traits.npz",
    log:
        f"{LOGS}/read_traits/{{dataset}}.log",
    benchmark:
        f"{LOGS}/read_traits/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("cub200"),
    # It refuses settings that do not fit the lists: before a GPU works, not after.
    priority: 1
    params:
        root=data_root,
        reads=trait_sources,
        rule=label_flags,
    shell:
        r"""
        python scripts/read_traits.py \
            --dataset {wildcards.dataset} \
            --root {params.root:q} \
            --splits {input.splits:q} \
            --traits {output.traits:q} \
            {params.rule} \
            >{log:q} 2>&1
        """


rule read_trait_table:
    """Read which images show which traits from a table."""
    input:
        splits=f"{DATA}.splits.csv",
    output:
        traits=f"{STUDY}/{{dataset}}.traits.npz",
    log:
        f"{LOGS}/read_trait_table/{{dataset}}.log",
    benchmark:
        f"{LOGS}/read_trait_table/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("table"),
    # It refuses settings that do not fit the lists: before a GPU works, not after.
    priority: 1
    params:
        table=table_file,
        reads=trait_sources,
        n_train=n_train_flags,
    shell:
        r"""
        python scripts/read_trait_table.py \
            --dataset {wildcards.dataset} \
            --table {params.table:q} \
            --splits {input.splits:q} \
            --traits {output.traits:q} \
            {params.n_train} \
            >{log:q} 2>&1
        """
