"""A real run to the headline table, the same bytes however it ran."""

import json
import os
import re
import signal
import subprocess
import time

import h5py
import numpy as np
import pandas as pd
import yaml
from study_copy import FEATURES, TARGETS, copy_project, environment, find, snakemake

FAMILY = "results/tiny/tiny-vit/layer3/random"
SCORES = "results/scores/tiny/tiny-vit"


def test_the_table_has_every_configuration_beside_chance(finished):
    table = pd.read_csv(finished / "results/tiny/map_table.csv")
    columns = "dataset encoder layer method n_prototypes n_train map p5 p95 chance"
    more = "n_traits n_seeds n_alive learning_rate sparsity"
    assert [*table.columns] == [*columns.split(), *more.split()]
    columns = ["layer", "method", "n_prototypes", "n_train"]
    assert sorted(table[columns].values.tolist()) == sorted(
        [layer, method, k, n]
        for (layer, method), counts in {
            (3, "gaussian"): (4, 16),
            (3, "kmeans"): (4,),
            (3, "kmeansdistance"): (4,),
            (3, "pca"): (4,),
            (3, "random"): (4, 16),
            (1, "random"): (4,),
            (3, "topk"): (64, 64),  # two learning rates
            (3, "randomtrain"): (4, 16),
        }.items()
        for k in counts
        for n in (8, 36)
    )
    # Two fit seeds of controls; two selection seeds, but one way to take all images.
    n_fits = {"gaussian": 2, "random": 2, "randomtrain": 2}
    assert [*table.n_seeds] == [
        n_fits.get(method, 1) * (2 if n == 8 else 1)
        for method, n in zip(table.method, table.n_train, strict=True)
    ]
    assert (table["map"] > table["chance"]).all()
    assert table["n_alive"].between(1, table["n_prototypes"]).all()
    # Latents may be dead, but not patches and directions.
    dense = table[table["method"] != "topk"]
    assert (dense["n_alive"] == dense["n_prototypes"]).all()


def test_methods_layers_and_kinds_of_traits_are_compared(finished):
    text = (finished / "results/tiny/map_table.md").read_text()
    sentences = re.findall(r"^- With (\d+) prototypes \((.+?), chosen", text, re.M)
    assert sentences == [("4", "tiny-vit, layer 3"), ("16", "tiny-vit, layer 3")]
    layers = pd.read_csv(finished / "results/tiny/layer_table.csv")
    assert layers[["method", "n_prototypes", "layer"]].values.tolist() == [
        ["random", 4, 1],
        ["random", 4, 3],
    ]
    groups = pd.read_csv(finished / "results/tiny/group_table.csv")
    assert set(groups["kind"]) == {"colour", "pattern", "shape", "size"}
    assert set(groups["n_prototypes"]) == {16}


def test_the_table_follows_from_the_csv_of_traits(finished):
    ap = pd.read_csv(finished / FAMILY / "ap.csv")
    ours = ap[(ap.n_prototypes == 16) & (ap.n_train == 36)].dropna(subset=["test_ap"])
    table = pd.read_csv(finished / "results/tiny/map_table.csv")
    row = table.query("method == 'random' and n_prototypes == 16 and n_train == 36")
    per_seed = ours.groupby("seed").test_ap
    np.testing.assert_allclose(row["map"], per_seed.mean().mean(), atol=1e-6)
    np.testing.assert_allclose(row.p95, per_seed.quantile(0.95).mean(), atol=1e-6)


def test_scores_follow_from_the_activations(finished):
    """An image's score is the maximum over its patches, in the order of images."""
    scores = find(finished, f"{SCORES}/layer3/random/*/scores.h5")
    with h5py.File(finished / scores) as file:
        scores_NK = file["k4-seed1/scores_NK"][:]
        image_ids = file["image_ids"].asstr()[:]
    shard = find(finished, "results/activations/tiny_birds/*/*/shard-00001-of-00002.h5")
    with h5py.File(finished / shard) as file:
        last_PD = file["layer3/patches"][-1].astype(np.float64)
        assert file["image_ids"].asstr()[-1] == image_ids[-1]
    from vitproto.prototypes.checkpoint import load

    store = finished / "results/checkpoints/tiny_corpus/tiny-vit/layer3/random"
    (path,) = store.glob("k4-seed1.*.safetensors")
    directions_KD = load(path).directions_KD.numpy()
    expected_K = (last_PD @ directions_KD.T).max(axis=0)
    np.testing.assert_allclose(scores_NK[-1], expected_K, rtol=1e-5, atol=1e-5)


def test_the_features_of_a_run_follow_from_its_scores(finished):
    """The same images, in the same order, as sorting the scores of all images gives."""
    shown = json.loads((finished / FEATURES / "features.json").read_text())
    scores = find(finished, f"{SCORES}/layer3/kmeans/*/scores.h5")
    with h5py.File(finished / scores) as file:
        scores_NK = file["k4-seed0/scores_NK"][:]
        image_ids = file["image_ids"].asstr()[:]
    assert 3 in [feature["prototype"] for feature in shown["prototypes"]]
    for feature in shown["prototypes"]:
        score_N = scores_NK[:, feature["prototype"]]
        best = np.argsort(-score_N, kind="stable")[:3]
        assert [image["image_id"] for image in feature["images"]] == [*image_ids[best]]
        found = [image["score"] for image in feature["images"]]
        np.testing.assert_allclose(found, score_N[best], rtol=1e-5)
        assert (finished / FEATURES / f"{feature['prototype']:05d}.png").is_file()


def test_a_second_run_has_nothing_to_do(finished):
    shown = snakemake(finished, *TARGETS, "--configfile", "tiny.yaml")
    assert "Nothing to be done" in shown.stdout


def test_a_killed_run_with_other_shards_and_cores_ends_in_the_same_bytes(
    finished, tmp_path
):
    workdir = copy_project(tmp_path)
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    study["datasets"]["tiny_birds"]["n_shards"] = 3
    study["datasets"]["tiny_corpus"]["n_shards"] = 2
    study["how"]["batch_size"] = 7
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    command = ["snakemake", *TARGETS, "--configfile", "tiny.yaml", "--cores", "1"]
    with subprocess.Popen(
        command,
        cwd=workdir,
        env=environment(workdir),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as first:
        while not any(workdir.glob("results/activations/*/*/*/shard-*")):
            assert first.poll() is None, "it ended before it could be killed"
            time.sleep(0.2)
        os.killpg(first.pid, signal.SIGKILL)
    assert not (workdir / TARGETS[0]).exists()
    snakemake(workdir, *TARGETS, "--configfile", "tiny.yaml", "--unlock")
    shown = snakemake(workdir, *TARGETS, "--configfile", "tiny.yaml", "--cores", "1")
    assert shown.returncode == 0, shown.stdout
    # Notes of origins too; what jobs took is all that differs from run to run.
    found = [
        *sorted(finished.glob("results/tiny/**/*.*")),
        *sorted(finished.glob("results/scores/**/*.*")),
    ]
    assert len([path for path in found if path.name == "scores.h5"]) == 8
    results = [
        path for path in found if path.is_file() and "cost_table" not in path.name
    ]
    assert len(results) > 10
    for result in results:
        again = workdir / result.relative_to(finished)
        assert again.read_bytes() == result.read_bytes(), result


def test_a_damaged_shard_is_made_again(finished, workdir):
    shard = find(workdir, "results/activations/tiny_birds/*/*/shard-00001-of-00002.h5")
    os.truncate(workdir / shard, 60_000)
    target = (f"{FAMILY}/ap.csv", "--configfile", "tiny.yaml")
    shown = snakemake(workdir, *target, "--forcerun", "score_images")
    assert shown.returncode == 0, shown.stdout
    assert f"reason: {shard} changed after it was made" in shown.stdout
    assert shown.stdout.count("(Rule: record_activations)") == 1
    for file in (shard, f"{FAMILY}/ap.csv"):
        assert (workdir / file).read_bytes() == (finished / file).read_bytes()
