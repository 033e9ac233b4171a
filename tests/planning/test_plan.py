"""A plan agrees with what Snakemake shows, and with what a finished study took."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from vitproto.core.project import PROJECT
from vitproto.planning import disk
from vitproto.planning.jobs import Job, study_jobs
from vitproto.planning.plan import (
    StageCost,
    Written,
    by_stage,
    count_images,
    written_by,
    wrong_counts,
)
from vitproto.planning.plan_text import write_plan
from vitproto.study.read_study import read_study

GIGA = 10**9


@pytest.fixture
def real() -> dict:
    return read_study(PROJECT / "config/config.yaml")


def only(study: dict, **run) -> dict:
    """The study with the one row, and no pages of features."""
    return {
        **study,
        "runs": [{"encoder": "siglip-vit-l16-256", "layer": 23, "seed": 0, **run}],
        "features": {**study["features"], "runs": []},
    }


def cost(study: dict, stage: str) -> StageCost:
    return next(c for c in by_stage(study_jobs(study), study) if c.stage == stage)


def test_activations_of_inat21_take_images_times_tokens_times_width(real):
    job = Job(
        "record_activations",
        {
            "dataset": "inat21",
            "encoder": "bioclip-vit-b16",
            "i_shard": "00000",
            "n_shards": "00032",
        },
    )
    (written,) = written_by([job], real)
    # 500,000 images in 32 shards, 14 × 14 patches and a CLS token, 768 halves.
    assert written.activations == pytest.approx(500_000 / 32 * 197 * 768 * 2, rel=1e-3)
    assert written.checkpoints == written.results == written.scratch == 0


def test_weights_are_fetched_once_for_each_encoder_that_needs_the_hub(real):
    real["encoders"]["dinov2-vit-b14-reg"]["checkpoint"] = "dinov2.pth"
    real["encoders"]["bioclip2-vit-l14"]["checkpoint"] = "tuned.safetensors"
    jobs = [job for job in study_jobs(real) if job.stage == "fetch_weights"]
    written = {
        job.wildcards["encoder"]: one.weights
        for job, one in zip(jobs, written_by(jobs, real), strict=True)
    }
    # SigLIP and CLIP: 24 blocks of 12 D² weights in float32, twice with those of text.
    assert written == {
        "siglip-vit-l16-256": 2 * 24 * 12 * 1024**2 * 4,
        "openai-vit-l14": 2 * 24 * 12 * 1024**2 * 4,
        "bioclip-vit-b16": 2 * 12 * 12 * 768**2 * 4,
        "bioclip2-vit-l14": 0,  # its architecture alone
    }


def test_hours_are_operations_by_rate_and_the_start_of_each_job(real):
    study = only(real, method="random", n_prototypes=8192)
    study["throughput"] = {
        **real["throughput"],
        "gpu_flops": 1e12,
        "disk_bytes": 1e30,
        "job_s": 7.0,
    }
    scored = cost(study, "score_images")
    # A product of 11,788 images × 256 patches × 1,024 with 8,192 prototypes.
    seconds = 7 + 2 * 11_788 * 256 * 1024 * 8192 / 1e12
    assert scored.hours == scored.gpu_hours == pytest.approx(seconds / 3600)
    selected = cost(study, "select_prototypes")
    n_ranked = 8192 * (3 * (16 + 64 + 256 + 1024) + 11_788 / 2)
    assert selected.hours == pytest.approx((7 + n_ranked / 5e7) / 3600)
    assert selected.gpu_hours == 0


def test_without_a_gpu_nothing_counts_as_gpu_hours(real):
    study = only(real, method="random", n_prototypes=128)
    assert cost(study, "record_activations").gpu_hours > 0
    study["how"] = {**real["how"], "device": "cpu"}
    on_cpu = cost(study, "record_activations")
    assert on_cpu.gpu_hours == 0
    rates = real["throughput"]
    slower = rates["gpu_flops"] / rates["cpu_flops"]
    on_gpu = cost(only(real, method="random", n_prototypes=128), "record_activations")
    assert on_cpu.hours > 0.1 * slower * on_gpu.hours


def test_a_sweep_of_autoencoders_holds_weights_moments_and_gradients(real):
    sparsity = [0.0004, 0.0008, 0.0016]
    study = only(
        real, method="relu", n_prototypes=32_768, learning_rate=0.001, sparsity=sparsity
    )
    weights = 2 * 32_768 * 1024 * 4
    least = 3 * 3 * weights + weights
    memory = cost(study, "fit_sae").memory
    # Besides: two pools of 4 million patches in float16, and a batch of latents.
    pools = 2 * 4_000_000 * 1024 * 2
    batch = 16_384 * 32_768 * 4
    assert least + pools + batch < memory < 1.05 * (least + pools + batch) + GIGA
    assert cost(study, "fit_sae").written == 3 * weights


def test_a_drawn_data_set_tells_its_own_size(real):
    demo = read_study(PROJECT / "config/demo.yaml")
    assert count_images(demo, "demo_birds") == 50 * 48
    assert count_images(real, "cub200") == 11_788


def test_methods_that_see_no_corpus_record_none(real):
    both = {"dataset": {"cub200", "inat21"}, "n": 4 + 32}
    alone = {"dataset": {"cub200"}, "n": 4}
    for method, expected in (("random", both), ("gaussian", alone)):
        jobs = study_jobs(only(real, method=method, n_prototypes=128))
        recorded = [job for job in jobs if job.stage == "record_activations"]
        assert {job.wildcards["dataset"] for job in recorded} == expected["dataset"]
        assert len(recorded) == expected["n"]


def test_the_table_adds_up_and_names_where_rates_come_from():
    costs = [
        StageCost("record_activations", 36, 1.5, 1.5, 2e12, 3e9),
        StageCost("fit_pca", 1, 0.25, 0.0, 5e6, 9e9),
    ]
    text = write_plan(costs, "an abacus")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert rows[2] == ["record_activations", "36", "1.50", "1.50", "2 TB", "3 GB"]
    assert rows[3] == ["fit_pca", "1", "0.25", "–", "5 MB", "9 GB"]
    assert rows[4] == ["all", "37", "1.75", "1.50", "2 TB", "9 GB"]
    assert "an abacus" in text


# Disks ------------------------------------------------------------------------------

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch):
    """Say how much is free on the disk of each folder; all are on one by default."""

    def set_free(n_bytes):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _: Usage(10 * n_bytes, 0, n_bytes)
        )

    return set_free


def needs(tmp_path: Path, *written: Written) -> list[disk.Need]:
    storage = {
        "activations": str(tmp_path / "a/b"),
        "checkpoints": str(tmp_path / "c"),
        "scores": str(tmp_path / "s"),
        "weights": str(tmp_path / "d"),
    }
    return disk.Need.of(written, storage, "results")


def test_folders_on_one_disk_share_what_is_free_there(tmp_path, monkeypatch, free):
    monkeypatch.chdir(tmp_path)
    wanted = needs(tmp_path, Written(3 * GIGA, 2 * GIGA, 1 * GIGA))
    free(6 * GIGA)
    assert disk.shortages(wanted) == []
    free(6 * GIGA - 1)
    (sentence,) = disk.shortages(wanted)
    assert sentence == (
        f"a disk is too small: jobs write 3 GB to {tmp_path}/a/b, 2 GB to "
        f"{tmp_path}/c, 1 GB to results, but only 6 GB are free there: set storage: "
        "activations to a folder on a larger one, or make room"
    )
    assert not (tmp_path / "a").exists()


def test_scores_go_to_a_folder_of_their_own_where_there_are_any(tmp_path):
    wanted = needs(tmp_path, Written(scores=184 * GIGA), Written(scores=GIGA))
    sizes = {str(need.folder): (need.n_bytes, need.cure) for need in wanted}
    assert sizes[f"{tmp_path}/s"] == (185 * GIGA, "storage: scores")
    of_segmentation = {"activations": "a", "checkpoints": "c", "weights": "w"}
    needed = disk.Need.of([Written(1, 2, 3, weights=4)], of_segmentation, "results")
    assert [need.n_bytes for need in needed] == [1, 2, 4, 3]


def written_by_stage(study):
    """What the last job of each stage writes."""
    jobs = study_jobs(study)
    stages = [job.stage for job in jobs]
    return dict(zip(stages, written_by(jobs, study), strict=True))


def test_scores_of_all_and_of_the_chosen_are_planned(real):
    study = only(real, method="random", n_prototypes=8192)
    planned = written_by_stage(study)
    images = 11_788
    assert planned["score_images"].scores == pytest.approx(4 * images * 8192, rel=2e-3)
    assert planned["score_images"].results == 0
    n_subsets = len(study["selection"]["seeds"]) * 4 + 1
    n_chosen = min(8192, 312 * n_subsets)
    chosen = planned["select_prototypes"].results - 125 * 312 * n_subsets
    assert chosen == pytest.approx(4 * images * n_chosen, rel=1e-2)
    few = only(real, method="random", n_prototypes=128)
    planned = written_by_stage(few)
    chosen = planned["select_prototypes"].results - 125 * 312 * n_subsets
    assert chosen == pytest.approx(4 * images * 128, rel=0.1)


def test_each_disk_is_judged_by_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scratch = tmp_path / "a"
    scratch.mkdir()
    real_stat = disk.os.stat

    def stat(path, *args, **kwargs):
        found = real_stat(path, *args, **kwargs)
        if Path(path) != scratch:
            return found
        return namedtuple("Stat", "st_dev")(found.st_dev + 1)

    monkeypatch.setattr(disk.os, "stat", stat)
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: Usage(0, 0, 10 * GIGA if Path(path) == scratch else GIGA),
    )
    assert disk.shortages(needs(tmp_path, Written(9 * GIGA, 0, GIGA))) == []
    (sentence,) = disk.shortages(needs(tmp_path, Written(11 * GIGA, 0, GIGA)))
    assert "set storage: activations to a folder" in sentence
    (sentence,) = disk.shortages(needs(tmp_path, Written(9 * GIGA, 0, 2 * GIGA)))
    assert "make results a link to a folder on a larger one" in sentence


def test_of_what_jobs_need_only_while_they_run_the_largest_counts(tmp_path):
    jobs = [Written(results=1, scratch=10), Written(results=2, scratch=30)]
    assert needs(tmp_path, *jobs)[-1].n_bytes == 1 + 2 + 30


def test_what_is_there_need_not_be_written_again():
    assert Written(5, 0, 7, 9, 8, 10).less(6) == Written(0, 0, 1, 9, 2, 4)


def test_sizes_are_in_words():
    assert [disk.size(n) for n in (0, 999, 1000, 25.4e6, 999.6e6, 1.43e12)] == [
        *("0 B", "999 B", "1 kB", "25.4 MB", "1 GB", "1.43 TB"),
    ]


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
