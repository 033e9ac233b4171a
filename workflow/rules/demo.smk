"""From a seed to the pictures of the demo."""


rule draw_demo_birds:
    """Draw birds with known traits, laid out as CUB-200-2011."""
    output:
        directory(DATA),
    log:
        f"{LOGS}/draw_demo_birds/{{dataset}}.log",
    benchmark:
        f"{LOGS}/draw_demo_birds/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("cub200", drawn=True),
    threads: 4
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        flags=drawing_flags,
    shell:
        r"""
        python scripts/draw_demo_birds.py \
            --root {output:q} \
            {params.flags} \
            --n_workers {threads} \
            >{log:q} 2>&1
        """


rule draw_demo_corpus:
    """Draw birds of other species, in one folder per species."""
    output:
        directory(DATA),
    log:
        f"{LOGS}/draw_demo_corpus/{{dataset}}.log",
    benchmark:
        f"{LOGS}/draw_demo_corpus/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("image_folder", drawn=True),
    threads: 4
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        flags=drawing_flags,
    shell:
        r"""
        python scripts/draw_demo_corpus.py \
            --root {output:q} \
            {params.flags} \
            --n_workers {threads} \
            >{log:q} 2>&1
        """


rule draw_demo_scenes:
    """Draw birds with a class for every pixel, laid out as ADE20K."""
    output:
        directory(DATA),
    log:
        f"{LOGS}/draw_demo_scenes/{{dataset}}.log",
    benchmark:
        f"{LOGS}/draw_demo_scenes/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=with_layout("ade20k", drawn=True),
    threads: 4
    resources:
        mem_mb=REQUESTS.memory_mb,
        runtime=REQUESTS.minutes,
    params:
        flags=drawing_flags,
    shell:
        r"""
        python scripts/draw_demo_scenes.py \
            --root {output:q} \
            {params.flags} \
            --n_workers {threads} \
            >{log:q} 2>&1
        """
