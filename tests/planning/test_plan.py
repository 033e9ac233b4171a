"""Costs that were worked out by hand, and the table that adds them up."""

import pytest

from vitproto.core.project import PROJECT
from vitproto.planning.costs.job import Cost, PlannedJob, Written
from vitproto.planning.costs.sizes import count_images
from vitproto.planning.image_counts import wrong_counts
from vitproto.planning.plan import (
    COSTS,
    StageCost,
    by_stage,
    estimator,
    written_by,
)
from vitproto.planning.plan_text import write_plan, write_total
from vitproto.study.read_study import read_study

GIGA = 10**9
MILLION = 10**6


@pytest.fixture
def real() -> dict:
    return read_study(PROJECT / "config/config.yaml")


def only(study: dict, **run) -> dict:
    """The study with the one row."""
    row = {"encoder": "siglip-vit-l16-256", "layer": 23, "seed": 0, **run}
    return {**study, "runs": [row]}


def job(rule: str, **wildcards: str) -> PlannedJob:
    """A job of the first layer of `only`, with 8 threads and a GPU."""
    place = {"encoder": "siglip-vit-l16-256", "layer": "23", **wildcards}
    return PlannedJob(rule, place, n_threads=8, uses_gpu=True)


def cost(study: dict, rule: str, **wildcards: str) -> Cost:
    return estimator(study)(job(rule, **wildcards))


def recording(dataset: str, encoder: str, n_shards: int) -> PlannedJob:
    wildcards = {"dataset": dataset, "encoder": encoder, "n_shards": str(n_shards)}
    return job("record_activations", **wildcards)


def test_every_cost_is_that_of_a_stage():
    assert {file.stem for file in PROJECT.glob("scripts/*.py")} > COSTS.keys()
    assert {"fit_pca", "import_sae", "suppress_latents"} < COSTS.keys()


def test_a_stage_without_a_cost_of_its_own_costs_what_a_report_costs(real):
    estimate = estimator(real)
    report, table = (estimate(PlannedJob(s, {})) for s in ("plot_map", "tabulate_map"))
    assert not {"plot_map", "tabulate_map"} & COSTS.keys()
    assert estimate(PlannedJob("count_runs", {})) == report
    assert report._replace(memory=0) == table._replace(memory=0)
    assert report.memory - table.memory == 80 * MILLION  # no charts, no Matplotlib
    assert 30 <= report.seconds < 31  # to start, and to read a little
    assert report.written == Written(results=2 * MILLION)


def test_activations_of_inat21_take_images_times_tokens_times_width(real):
    (written,) = written_by([recording("inat21", "bioclip-vit-b16", 32)], real)
    # 500,000 images in 32 shards, 14 × 14 patches and a CLS token, 768 halves; and a
    # checksum of 4 bytes for each patch.
    assert written.activations == pytest.approx(
        500_000 / 32 * (197 * 768 * 2 + 196 * 4), rel=1e-3
    )
    assert written.checkpoints == written.results == written.scratch == 0


def test_weights_are_fetched_in_float32_with_both_towers(real):
    real["encoders"]["bioclip2-vit-l14"]["weights"] = "tuned.safetensors"
    written = {
        encoder: cost(real, "fetch_weights", encoder=encoder).written.weights
        for encoder in real["encoders"]
    }
    # SigLIP and CLIP: 24 blocks of 12 D² weights in float32, twice with those of text.
    assert written == {
        "siglip-vit-l16-256": 2 * 24 * 12 * 1024**2 * 4,
        "openai-vit-l14": 2 * 24 * 12 * 1024**2 * 4,
        "bioclip-vit-b16": 2 * 12 * 12 * 768**2 * 4,
        "bioclip2-vit-l14": 0,  # its architecture alone
        "dinov2-vit-b14-reg": 12 * 12 * 768**2 * 4,
    }


def test_times_are_operations_by_rate_and_the_start_of_each_job(real):
    study = only(real, method="random", n_prototypes=8192)
    study["throughput"] = {
        **real["throughput"],
        "gpu_flops": 1e12,
        "disk_bytes": 1e30,
        "job_s": 7.0,
    }
    # A product of 11,788 images × 256 patches × 1,024 with 8,192 prototypes.
    seconds = 7 + 2 * 11_788 * 256 * 1024 * 8192 / 1e12
    assert cost(study, "score_images", method="random").seconds == pytest.approx(
        seconds
    )
    n_ranked = 8192 * (3 * (16 + 64 + 256 + 1024) + 11_788 / 2)
    selected = cost(study, "select_prototypes", method="random")
    assert selected.seconds == pytest.approx(7 + n_ranked / 5e7)


def test_without_a_gpu_nothing_counts_as_gpu_time(real):
    recorded = recording("cub200", "siglip-vit-l16-256", 4)
    on_gpu, listed = by_stage([recorded, PlannedJob("tabulate_map", {})], real)
    assert on_gpu.gpu_seconds == on_gpu.seconds > 0
    assert listed.gpu_seconds == 0
    rates = real["throughput"]
    slower = rates["gpu_flops"] / rates["cpu_flops"]
    real["how"] = {**real["how"], "device": "cpu"}
    (on_cpu,) = by_stage([recorded], real)
    assert on_cpu.gpu_seconds == 0
    assert on_cpu.seconds > 0.1 * slower * on_gpu.seconds


def test_a_job_with_fewer_threads_holds_fewer_buffers(real):
    study = only(real, method="pca", n_prototypes=128)
    fit = job("fit_pca", method="pca")
    estimate = estimator(study)
    eight, two = estimate(fit).memory, estimate(fit._replace(n_threads=2)).memory
    # Each thread has three blocks of 16 images with 256 patches of 1,024 floats.
    assert eight - two == 6 * 3 * 16 * 256 * 1024 * 4


def test_a_sweep_of_autoencoders_holds_weights_moments_and_gradients(real):
    sparsity = [0.0004, 0.0008, 0.0016]
    study = only(
        real, method="relu", n_prototypes=32_768, learning_rate=0.001, sparsity=sparsity
    )
    weights = 2 * 32_768 * 1024 * 4
    least = 3 * 3 * weights + weights
    fitted = cost(study, "fit_sae", method="relu")
    # Besides: two pools of 4 million patches in float16, and a batch of latents.
    pools = 2 * 4_000_000 * 1024 * 2
    batch = 16_384 * 32_768 * 4
    assert least + pools + batch < fitted.memory
    assert fitted.memory < 1.05 * (least + pools + batch) + GIGA
    assert fitted.written.checkpoints == 3 * weights


def test_what_is_needed_only_while_a_job_runs_is_not_in_the_table(real):
    study = only(real, method="kmeans", n_prototypes=128)
    fit = job("fit_kmeans", method="kmeans")
    (stage,) = by_stage([fit], study)
    (written,) = written_by([fit], study)
    assert written.scratch > 0
    assert stage.written == written.checkpoints == 4 * 1024 * 128


def test_a_drawn_data_set_tells_its_own_size(real):
    demo = read_study(PROJECT / "config/demo.yaml")
    assert count_images(demo, "demo_birds") == 50 * 48
    assert count_images(real, "cub200") == 11_788


def test_the_table_adds_up_and_names_where_rates_come_from():
    costs = [
        StageCost("record_activations", 36, 5400, 5400, 2e12, 3e9),
        StageCost("fit_pca", 1, 900, 0.0, 5e6, 9e9),
        StageCost("plot_map", 1, 4, 0.0, 2e6, 1e9),
    ]
    text = write_plan(costs, "an abacus")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert rows[2:] == [
        ["record_activations", "36", "1.5 h", "1.5 h", "2 TB", "3 GB"],
        ["fit_pca", "1", "15 min", "–", "5 MB", "9 GB"],
        ["plot_map", "1", "4.0 s", "–", "2 MB", "1 GB"],
        ["all", "38", "1.8 h", "1.5 h", "2 TB", "9 GB"],
    ]
    assert "an abacus" in text
    assert write_total(costs) == "1.8 h, 1.5 h of it on a GPU, 2 TB written"
    assert write_total(costs[2:]) == "4.0 s, none of it on a GPU, 2 MB written"


def test_scores_of_all_and_of_the_chosen_are_planned(real):
    study = only(real, method="random", n_prototypes=8192)
    images = 11_788
    scored = cost(study, "score_images", method="random").written
    assert scored.scores == pytest.approx(4 * images * 8192, rel=2e-3)
    assert scored.results == 0
    n_subsets = len(study["selection"]["seeds"]) * 4 + 1
    n_chosen = min(8192, 312 * n_subsets)
    selected = cost(study, "select_prototypes", method="random").written
    chosen = selected.results - 125 * 312 * n_subsets
    assert chosen == pytest.approx(4 * images * n_chosen, rel=1e-2)
    few = only(real, method="random", n_prototypes=128)
    selected = cost(few, "select_prototypes", method="random").written
    chosen = selected.results - 125 * 312 * n_subsets
    assert chosen == pytest.approx(4 * images * 128, rel=0.1)


def test_pooled_activations_and_scores_of_probes_are_planned(real):
    place = {"encoder": "siglip-vit-l16-256", "layer": "23"}
    images, width = 11_788, 1024
    pooled = cost(real, "pool_activations", **place)
    n_bytes = 2 * 4 * images * width
    assert pooled.written.scores == pytest.approx(n_bytes, rel=1e-2)
    # It reads all patches of the layer, in float16.
    assert pooled.seconds > 2 * images * 256 * width / real["throughput"]["disk_bytes"]
    probes = cost(real, "probe_traits", **place)
    n_subsets = len(real["selection"]["seeds"]) * 4 + 1
    scores = 2 * n_subsets * 4 * (images / 2) * 312
    assert probes.written.results == pytest.approx(scores, rel=1e-2)
    assert probes.written.scores == 0
    assert probes.memory > n_bytes + scores / 2


def test_what_is_there_need_not_be_written_again():
    assert Written(5, 0, 7, 9, 8, 10).less(6) == Written(0, 0, 1, 9, 2, 4)


def test_a_list_of_images_that_the_plan_is_far_from_is_named(real, tmp_path):
    sizes = {"cub200": 11, "inat21": 10}
    for name, n_images in sizes.items():
        real["datasets"][name]["n_images"] = 12
        rows = "".join(f'{i},"a\nb"\n' for i in range(n_images))
        (tmp_path / f"{name}.images.csv").write_text(f"image_id,path\n{rows}")
    assert wrong_counts(real, tmp_path) == [
        f"{tmp_path}/inat21.images.csv lists 10 images, the plan is for 12: write "
        "datasets: inat21: n_images: 10"
    ]
    assert wrong_counts(real, tmp_path / "none") == []
