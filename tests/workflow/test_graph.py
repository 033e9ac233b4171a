"""The whole graph shows without data, GPU or SLURM; a real run needs its data."""

import re
import subprocess
import sys

import pytest
from study_copy import PROJECT, copy_project, environment, snakemake

REAL = [
    "results/cub200/map_table.md",
    "results/cub200/sae_table.md",
    "results/cub200/siglip-vit-l16-256/layer23/kmeans/features/k2048-seed0",
]


SUPPRESSION = "results/ade20k/suppression_table.md"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project as it comes, in a folder without data or results."""
    return copy_project(tmp_path_factory.mktemp("bare"))


def jobs(output: str) -> dict[str, int]:
    """The counts of the last table of jobs."""
    table = output.rsplit("Job stats:", 1)[1].split("\n\n")[0]
    return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_a_dry_run_of_the_real_study_shows_every_job(project, profile):
    shown = snakemake(project, "--profile", f"profiles/{profile}", *REAL, "-n")
    assert shown.returncode == 0, shown.stdout
    counts = jobs(shown.stdout)
    assert counts["record_activations"] == 5 * (4 + 32)  # encoders × shards
    # Encoder-layers; k-means twice, once for each of its scores, and random patches of
    # both data sets.
    assert counts["fit_gaussian"] == counts["fit_pca"] == 6
    assert counts["fit_random"] == counts["fit_kmeans"] == 12
    # Six kinds of autoencoders in each of two layers, one in each of four encoders.
    assert counts["fit_sae"] == counts["evaluate_saes"] == 16
    assert counts["score_images"] == counts["select_prototypes"] == 52
    assert counts["permute_labels"] == 52
    assert counts["pool_activations"] == counts["probe_traits"] == 6
    assert counts["compare_methods"] == 6
    assert counts["tabulate_map"] == counts["show_features"] == 1


def test_a_dry_run_of_the_segmentation_study_shows_every_job(project):
    shown = snakemake(project, SUPPRESSION, "-n", "--configfile", "config/ade20k.yaml")
    assert shown.returncode == 0, shown.stdout
    counts = jobs(shown.stdout)
    assert counts["record_activations"] == 4  # shards
    # A sweep and a topk in layer 23, another in layer 13, and the untrained control.
    assert counts["fit_sae"] == counts["suppress_latents"] == 4
    assert counts["find_class_directions"] == 2  # layers
    assert counts["train_probes"] == counts["evaluate_probes"] == 1
    assert "score_images" not in counts


@pytest.mark.parametrize("study", ["cub200", "ade20k"])
def test_on_slurm_rules_that_use_a_gpu_go_to_its_partition(project, study):
    targets = REAL
    if study == "ade20k":
        targets = ["all", "--configfile", "config/ade20k.yaml"]
    shown = snakemake(project, *targets, "--profile", "profiles/slurm", "-n")
    blocks = re.findall(
        r"^ *rule (\w+):\n(.*?)resources: ([^\n]*)", shown.stdout, re.M | re.S
    )
    seen = {}
    for rule, _, resources in blocks:
        partition = re.search(r"slurm_partition=(\w+)", resources)[1]
        seen[rule] = (partition, "gpu=1" in resources)
    on_gpu = {"record_activations", "show_features", "fit_sae", "evaluate_saes"}
    on_gpu |= {
        "cub200": {"score_images"},
        "ade20k": {
            *("train_probes", "evaluate_probes", "find_class_directions"),
            *("find_class_latents", "suppress_latents", "show_suppression"),
        },
    }[study]
    assert on_gpu < set(seen)
    for rule, place in seen.items():
        assert place == (("nextgen", True) if rule in on_gpu else ("cpu", False))


def test_every_rule_takes_its_request_from_the_plan_or_is_local(project):
    n_rules = 0
    for file in (project / "workflow/rules").glob("*.smk"):
        text = file.read_text()
        listed = re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, re.MULTILINE)
        local = {*re.findall(r"\w+", "".join(listed))}
        rules = re.split(r"^rule (\w+):$", text, flags=re.MULTILINE)[1:]
        for name, body in zip(rules[::2], rules[1::2], strict=True):
            asks = (
                "mem_mb=REQUESTS.memory_mb,\n        runtime=REQUESTS.minutes," in body
            )
            assert asks != (name in local), name
            assert ("mem_mb=" in body) == ("runtime=" in body) == asks, name
            n_rules += 1
        assert local <= {*rules[::2]}
    assert n_rules > 30


def test_the_rule_graph_of_the_demo_has_every_stage(project):
    shown = snakemake(
        project, "--profile", "profiles/demo", "--rulegraph", "mermaid-js"
    )
    assert shown.returncode == 0, shown.stdout
    for rule in ("draw_demo_birds", "record_activations", "select_prototypes"):
        assert rule in shown.stdout


def test_the_rule_graph_of_the_segmentation_study_in_the_docs_is_up_to_date(
    project, tmp_path
):
    files = [tmp_path / "rules.md", tmp_path / "jobs.md"]
    subprocess.run(
        [
            *(sys.executable, "scripts/draw_graphs.py", "--config"),
            *("config/ade20k.yaml", "--rules", files[0], "--jobs", files[1]),
        ],
        cwd=project,
        env=environment(project),
        check=True,
    )
    docs = (PROJECT / "docs/segmentation_graph.md").read_text()
    assert files[0].read_text() == docs, "run make graph"


def test_the_rule_graph_in_the_docs_is_that_of_the_real_study(project, tmp_path):
    files = [tmp_path / "rules.md", tmp_path / "jobs.md"]
    subprocess.run(
        [
            *(sys.executable, "scripts/draw_graphs.py", "--config"),
            *("config/config.yaml", "--rules", files[0], "--jobs", files[1]),
        ],
        cwd=project,
        env=environment(project),
        check=True,
    )
    docs = (PROJECT / "docs/rule_graph.md").read_text()
    assert files[0].read_text() == docs, "run make graph"
    jobs = files[1].read_text()
    assert jobs.count("record_activations") == 5 * 2  # encoders × data sets
    assert jobs.count("<br>32 jobs") == jobs.count("<br>4 jobs") == 5
    # Beyond these limits Mermaid draws nothing.
    assert jobs.count("--") <= 500
    assert len(jobs) <= 50_000


def test_a_real_run_without_data_stops_before_the_first_job(project):
    shown = snakemake(project, "--profile", "profiles/local", *REAL)
    assert shown.returncode != 0
    assert "set datasets: cub200: root to its folder" in shown.stdout
    assert "set datasets: inat21: root to its folder" in shown.stdout
    assert "Set these keys in config/config.yaml" in shown.stdout
    assert "steps" not in shown.stdout
    assert not (project / "results").exists()


def test_a_study_that_cannot_run_says_where_and_why(project):
    shown = snakemake(project, *REAL, "-n", "--config", "how={device: gpu}")
    assert shown.returncode != 0
    assert "'gpu' is not auto, cpu, cuda or cuda:1" in shown.stdout
