"""A real run to the headline table, the same bytes however it ran."""

import html
import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import average_precision_score
from study_copy import FEATURES, TARGETS, copy_project, environment, find, snakemake

FAMILY = "results/tiny/tiny-vit/layer3/random"
SCORES = "results/scores/tiny/tiny-vit"
KINDS = ("random", "kmeans", "topk")
"""Families that sample, fit and train."""


def test_the_table_has_every_configuration_beside_chance(finished):
    table = pd.read_csv(finished / "results/tiny/map_table.csv")
    columns = "dataset encoder layer method n_prototypes n_train map p5 p95 chance"
    columns += " n_traits n_seeds n_alive learning_rate sparsity map_low map_high"
    columns += " map_low_traits map_high_traits prevalence null null_high optimism"
    columns += " ceiling ceiling_low ceiling_high ceiling_pooling ceiling_share map_sd"
    columns += (
        " n_groups n_unselected above_chance train_map is_chosen n_settings n_fits"
    )
    columns += " n_permutations"
    assert [*table.columns] == columns.split()
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
    # Constant scores reach the prevalence, and fewer than all rows beat noise.
    assert (table["map"] > table["prevalence"]).all()
    assert (table["chance"] > table["prevalence"]).all()
    is_above = table["map"] > table["null_high"]
    assert (table["above_chance"] == is_above).all()
    assert is_above[table["method"] == "randomtrain"].all()
    assert not is_above.all()
    assert (table["ceiling"] > table["map"]).all()
    # Six species are too few for intervals.
    assert (table["n_groups"] == 6).all()
    assert table[["map_low", "map_high", "map_low_traits"]].isna().all(axis=None)
    layer = "results/tiny/tiny-vit/layer3"
    single = pd.read_csv(finished / layer / "trait_intervals.csv")
    assert single["n_groups"].max() == 5  # enough for a trait among more species
    assert single["low"].isna().all()
    pairs = pd.read_csv(finished / layer / "method_pairs.csv")
    assert (pairs[["n_won", "n_tied", "n_lost"]] == 0).all(axis=None)
    assert table["n_alive"].between(1, table["n_prototypes"]).all()
    # Latents may be dead, but not patches and directions.
    dense = table[table["method"] != "topk"]
    assert (dense["n_alive"] == dense["n_prototypes"]).all()


def test_methods_layers_and_kinds_of_traits_are_compared(finished):
    pairs = pd.read_csv(finished / "results/tiny/comparison_table.csv")
    methods = {4: ["gaussian", "kmeans", "kmeansdistance", "pca"], 16: ["gaussian"]}
    assert pairs[
        ["layer", "n_prototypes", "n_train", "method_a", "method_b"]
    ].values.tolist() == [
        [3, k, n, a, b]
        for k, others in methods.items()
        for n in (8, 36)
        for a, b in itertools.combinations([*others, "random", "randomtrain"], 2)
    ]
    text = (finished / "results/tiny/answer.md").read_text()
    assert text.startswith("With 16 prototypes (tiny-vit, layer 3), chosen on 36 ")
    assert "6 classes of test images are too few to tell methods apart" in text
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


def test_a_null_follows_from_scores_and_permuted_labels(finished):
    """Permutation 3 takes the second fit seed, and the second selection seed."""
    null = pd.read_csv(finished / FAMILY / "null.csv").set_index(
        ["n_prototypes", "n_train", "permutation"]
    )
    assert [*null.loc[(4, 8, 3), ["seed", "selection_seed"]]] == [1, 1]
    scores = find(finished, f"{SCORES}/layer3/random/*/scores.h5")
    with h5py.File(finished / scores) as file:
        scores_NK = file["k4-seed1/scores_NK"][:]
        image_ids = [*file["image_ids"].asstr()[:]]
    splits = pd.read_csv(finished / "results/data/tiny_birds.splits.csv", dtype=str)
    traits = np.load(finished / "results/tiny/tiny_birds.traits.npz")
    assert image_ids == [*splits.image_id] == [*traits["image_ids"]]
    labels_NT, known_NT = traits["labels_NT"], traits["known_NT"]
    assert not known_NT.all()
    train = [i for i, split in enumerate(splits.split) if split == "train"]
    test = [i for i, split in enumerate(splits.split) if split == "test"]
    rng = np.random.default_rng([0, 3])
    of_train, of_test = rng.permutation(train), rng.permutation(test)
    # Decides between equal prototypes.
    draw_T = np.random.default_rng([0, 3, 8]).random(labels_NT.shape[1])
    subset = np.random.default_rng(1).permutation(len(train))[:8]

    def ap(images, labelled, t, k):
        """The AP of a prototype on images with the labels of others, if known."""
        pairs = [
            (labels_NT[there, t], scores_NK[here, k])
            for here, there in zip(images, labelled, strict=True)
            if known_NT[there, t]
        ]
        shown, scored = zip(*pairs, strict=True)
        return average_precision_score(shown, scored)

    aps, n_chance = [], 0
    for t in range(labels_NT.shape[1]):
        n_known = sum(known_NT[i, t] for i in test)
        n_shown = sum(labels_NT[i, t] for i in test)
        if n_shown == 0:
            continue
        if not any(labels_NT[of_train[i], t] for i in subset):
            # Rank r holds a shown image in n_shown of n_known rankings, and of the
            # r - 1 before it, that share of the others are shown.
            others = (n_shown - 1) / (n_known - 1)
            of_ranks = ((1 + (r - 1) * others) / r for r in range(1, n_known + 1))
            aps.append(sum(of_ranks) / n_known)
            n_chance += 1
            continue
        train_ap_K = [
            ap([train[i] for i in subset], [of_train[i] for i in subset], t, k)
            for k in range(4)
        ]
        best = [k for k in range(4) if train_ap_K[k] > max(train_ap_K) - 1e-9]
        aps.append(ap(test, of_test, t, best[int(draw_T[t] * len(best))]))
    assert 0 < n_chance < len(aps) / 2
    assert null.loc[(4, 8, 3), "map"] == pytest.approx(sum(aps) / len(aps), abs=1e-6)


def test_the_answer_stands_at_the_top_of_the_table_and_of_the_page(finished):
    answer = (finished / "results/tiny/answer.md").read_text()
    sentences, matrix, legend = answer.strip().split("\n\n")
    table = (finished / "results/tiny/map_table.md").read_text()
    heading, _, text = table.partition("\n\n")
    assert heading.startswith("# ")
    assert text.startswith(answer.strip())
    page = html.unescape((finished / "results/tiny/index.html").read_text())
    main = page[page.index("<main") :]
    cells = re.findall(r"(?<!\\)\| *([^|\n]*?[^|\n ]) *(?=\|)", matrix)
    assert {"random", "pca", "topk"} < set(cells)
    place = main.index(sentences)
    assert "<table" not in main[:place]
    assert "<h2" not in main[: main.index(legend)]
    shown = re.sub(r"<[^>]*>", "", main[place : main.index(legend)])
    for cell in cells:
        if not re.fullmatch(":?-+:?", cell):
            assert cell in shown


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
    thumbnails = {path.stem for path in (finished / FEATURES / "images").iterdir()}
    drawn = {
        image["image_id"]
        for feature in shown["prototypes"]
        for image in (*feature["images"], *feature["lowest"])
    }
    # They have the number of their image in the list, whose order is that of scores.
    assert {image_ids[int(name)] for name in thumbnails} == drawn


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
    # A family of each kind, to save time.
    families = [f"results/tiny/tiny-vit/layer3/{name}" for name in KINDS]
    targets = [f"{family}/{file}.csv" for family in families for file in ("ap", "null")]
    targets += [FEATURES, f"{families[-1]}/sae_metrics.csv"]
    targets += ["results/tiny/tiny-vit/layer3/ceiling.csv"]
    command = ["snakemake", *targets, "--configfile", "tiny.yaml", "--cores", "1"]
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
    assert not (workdir / targets[0]).exists()
    snakemake(workdir, *targets, "--configfile", "tiny.yaml", "--unlock")
    shown = snakemake(workdir, *targets, "--configfile", "tiny.yaml", "--cores", "1")
    assert shown.returncode == 0, shown.stdout
    # Notes of origins too.
    results = [
        path
        for folder in ("tiny", "scores")
        for path in sorted((workdir / "results" / folder).glob("**/*.*"))
        if path.is_file()
    ]
    names = Counter(path.name for path in results)
    assert names["scores.h5"] == names["ap.csv"] == names["null.csv"] == len(KINDS)
    assert names["pooled.h5"] == names["ceiling_scores.h5"] == names["index.html"] == 1
    for result in results:
        once = finished / result.relative_to(workdir)
        assert once.read_bytes() == result.read_bytes(), result


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
