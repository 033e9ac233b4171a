"""Somebody else's autoencoder is a method like any other."""

import json
import re

import h5py
import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.torch import save_file
from study_copy import copy_project, find, snakemake

FAMILY = "results/tiny/tiny-vit/layer3/theirs"
SCORES = "results/scores/tiny/tiny-vit/layer3/theirs/*/scores.h5"
AP = (f"{FAMILY}/ap.csv", "--configfile", "tiny.yaml")
SHARD = "results/activations/tiny_birds/*/*/shard-00000-of-*.h5"
WIDTH, N_LATENTS, TOP_K = 64, 16, 4


def write_theirs(path, seed):
    """A `sae.pt` as the saev project writes it; gives its weights."""
    draw = torch.Generator().manual_seed(seed)
    state = {
        "W_enc": torch.randn(WIDTH, N_LATENTS, generator=draw),
        "b_enc": torch.randn(N_LATENTS, generator=draw),
        "W_dec": torch.randn(N_LATENTS, WIDTH, generator=draw),
        "b_dec": torch.randn(WIDTH, generator=draw),
    }
    activation = {"cls": "TopK", "params": {"top_k": TOP_K}}
    cfg = {"d_model": WIDTH, "d_sae": N_LATENTS, "activation": activation}
    with path.open("wb") as file:
        file.write(json.dumps({"schema": 5, "cfg": cfg}).encode() + b"\n")
        torch.save(state, file)
    return state


def test_a_study_evaluates_directions_of_a_matrix(tmp_path):
    workdir = copy_project(tmp_path)
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    study["methods"]["imported"] = {"theirs": "theirs.npy"}
    row = {"encoder": "tiny-vit", "layer": 3, "method": "theirs", "seed": 0}
    study["runs"] = [{**row, "n_prototypes": N_LATENTS}]
    study["features"]["runs"] = []
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    shown = snakemake(workdir, *AP)
    assert shown.returncode != 0
    assert "the imported theirs is not at theirs.npy: set methods" in shown.stdout

    rng = np.random.default_rng(0)
    directions_KD = rng.standard_normal((N_LATENTS, WIDTH)).astype(np.float32)
    np.save(workdir / "theirs.npy", directions_KD)
    shown = snakemake(workdir, *AP)
    assert shown.returncode == 0, shown.stdout
    assert {*pd.read_csv(workdir / f"{FAMILY}/ap.csv").method} == {"theirs"}
    with h5py.File(workdir / find(workdir, SHARD)) as file:
        patches_NPD = file["layer3/patches"][:]
    with h5py.File(workdir / find(workdir, SCORES)) as file:
        scores_NK = file[f"k{N_LATENTS}-seed0/scores_NK"][: len(patches_NPD)]
    expected_NK = (patches_NPD.astype(float) @ directions_KD.T).max(axis=1)
    np.testing.assert_allclose(scores_NK, expected_NK, rtol=1e-4, atol=1e-4)

    # Another matrix makes stale what was made from the first one, and nothing else.
    np.save(workdir / "theirs.npy", -directions_KD)
    shown = snakemake(workdir, *AP, "-n")
    stale = sorted(re.findall(r"^(?:local)?rule (\w+):", shown.stdout, re.MULTILINE))
    assert stale == ["import_directions", "score_images", "select_prototypes"]


def test_a_study_evaluates_an_imported_autoencoder(tmp_path):
    workdir = copy_project(tmp_path)
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    study["methods"]["imported"] = {"theirs": "theirs.pt"}
    row = {"encoder": "tiny-vit", "layer": 3, "method": "theirs", "seed": 0}
    study["runs"] = [{**row, "n_prototypes": N_LATENTS}]
    study["features"]["runs"] = []
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))

    shown = snakemake(workdir, *AP)
    assert shown.returncode != 0
    assert (
        "the imported theirs is not at theirs.pt: set methods: imported" in shown.stdout
    )
    assert not (workdir / "results").exists()

    state = write_theirs(workdir / "theirs.pt", seed=0)
    shown = snakemake(workdir, *AP)
    assert shown.returncode == 0, shown.stdout
    ap = pd.read_csv(workdir / f"{FAMILY}/ap.csv")
    assert {*ap.method} == {"theirs"}
    assert {*ap.n_prototypes} == {N_LATENTS}
    assert ap.learning_rate.isna().all()
    assert ap.sparsity.isna().all()
    first_scores = workdir / find(workdir, SCORES)
    with h5py.File(first_scores) as file:
        scores_NK = file[f"k{N_LATENTS}-seed0/scores_NK"][:]
    shards = sorted(workdir.glob("results/activations/tiny_birds/tiny-vit/*/shard-*"))
    patches = []
    for shard in shards:
        with h5py.File(shard) as file:
            patches.append(file["layer3/patches"][:])
    acts_NPD = torch.from_numpy(np.concatenate(patches)).double()
    latents_NPK = acts_NPD @ state["W_enc"].double() + state["b_enc"].double()
    kept_NPK = torch.zeros_like(latents_NPK)
    kept_NPK.scatter_(2, latents_NPK.topk(TOP_K).indices, 1)
    expected_NK = (latents_NPK.relu() * kept_NPK).amax(1)
    decoded_NPD = (latents_NPK.relu() * kept_NPK) @ state["W_dec"].double()
    decoded_NPD += state["b_dec"].double()
    assert 0 < (expected_NK == 0).double().mean() < 1
    np.testing.assert_allclose(scores_NK, expected_NK, rtol=1e-4, atol=1e-4)

    (row,) = pd.read_csv(workdir / f"{FAMILY}/import_check.csv").to_dict("records")
    n_images = len(acts_NPD)
    i_seen_N = [i * n_images // 64 for i in range(64)]
    x_NPD = acts_NPD[i_seen_N]
    error, around = x_NPD - decoded_NPD[i_seen_N], x_NPD - x_NPD.mean((0, 1))
    nmse = (error.square().sum() / around.square().sum()).item()
    assert row["n_images"] == 64 < n_images
    np.testing.assert_allclose(row["nmse"], nmse, rtol=1e-4)
    n_active = (latents_NPK.relu() * kept_NPK)[i_seen_N].count_nonzero().item()
    np.testing.assert_allclose(row["l0"], n_active / row["n_patches"], rtol=1e-3)
    log = (
        workdir / "results/logs/tiny/tiny-vit/layer3/theirs/import_sae.log"
    ).read_text()
    assert "theirs.pt reconstructs badly: NMSE" in log

    assert "Nothing to be done" in snakemake(workdir, *AP).stdout
    write_theirs(workdir / "theirs.pt", seed=1)
    shown = snakemake(workdir, *AP, "-n")
    stale = sorted(re.findall(r"^rule (\w+):", shown.stdout, re.MULTILINE))
    assert stale == ["import_sae", "score_images", "select_prototypes"]

    study["methods"]["imported"]["theirs"] = {
        "file": "theirs.pt",
        "subtract_b_dec_before_encoding": True,
        "scaling": {"mean": "mean.pt", "norm": 2.5},
    }
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    shown = snakemake(workdir, *AP)
    assert shown.returncode != 0
    assert "the mean that theirs subtracts is not at mean.pt: set meth" in shown.stdout
    mean_D = acts_NPD.mean((0, 1))
    torch.save(mean_D.float(), workdir / "mean.pt")
    state = write_theirs(workdir / "theirs.pt", seed=0)
    shown = snakemake(workdir, *AP)
    assert shown.returncode == 0, shown.stdout
    # Scores by another reading lie beside the first ones.
    (scores,) = {*workdir.glob(SCORES)} - {first_scores}
    with h5py.File(scores) as file:
        scores_NK = file[f"k{N_LATENTS}-seed0/scores_NK"][:]
    state = {name: tensor.double() for name, tensor in state.items()}
    z_NPD = (acts_NPD - mean_D) / 2.5 - state["b_dec"]
    latents_NPK = z_NPD @ state["W_enc"] + state["b_enc"]
    least_NP1 = latents_NPK.topk(TOP_K).values[..., -1:]
    expected_NK = (latents_NPK.relu() * (latents_NPK >= least_NP1)).amax(1)
    np.testing.assert_allclose(scores_NK, expected_NK, rtol=1e-4, atol=1e-4)

    assert "Nothing to be done" in snakemake(workdir, *AP).stdout
    torch.save(2 * mean_D.float(), workdir / "mean.pt")
    shown = snakemake(workdir, *AP, "-n")
    stale = sorted(re.findall(r"^rule (\w+):", shown.stdout, re.MULTILINE))
    assert stale == ["import_sae", "score_images", "select_prototypes"]

    page = snakemake(workdir, "results/tiny/index.html", "--configfile", "tiny.yaml")
    assert page.returncode == 0, page.stdout
    shown = (workdir / "results/tiny/index.html").read_text(encoding="utf-8")
    assert ">Imported autoencoders</h2>" in shown
    assert "theirs in layer 3 of tiny-vit" in shown

    # SAELens says in a second file how the first is read.
    study["methods"]["imported"]["theirs"] = "saelens/sae_weights.safetensors"
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    (workdir / "saelens").mkdir()
    tensors = {name: tensor.float().contiguous() for name, tensor in state.items()}
    save_file(tensors, workdir / "saelens/sae_weights.safetensors")
    shown = snakemake(workdir, *AP)
    assert shown.returncode != 0
    assert "the cfg.json of theirs is not at saelens/cfg.json: copy" in shown.stdout
    cfg = {"d_in": WIDTH, "d_sae": N_LATENTS, "architecture": "topk", "k": TOP_K}
    (workdir / "saelens/cfg.json").write_text(json.dumps(cfg))
    before = {*workdir.glob(SCORES)}
    shown = snakemake(workdir, *AP)
    assert shown.returncode == 0, shown.stdout
    (scores,) = {*workdir.glob(SCORES)} - before
    with h5py.File(scores) as file:
        scores_NK = file[f"k{N_LATENTS}-seed0/scores_NK"][:]
    latents_NPK = (acts_NPD - state["b_dec"]) @ state["W_enc"] + state["b_enc"]
    least_NP1 = latents_NPK.topk(TOP_K).values[..., -1:]
    expected_NK = (latents_NPK.relu() * (latents_NPK >= least_NP1)).amax(1)
    np.testing.assert_allclose(scores_NK, expected_NK, rtol=1e-4, atol=1e-4)
    (workdir / "saelens/cfg.json").write_text(json.dumps({**cfg, "k": TOP_K + 1}))
    shown = snakemake(workdir, *AP, "-n")
    stale = sorted(re.findall(r"^rule (\w+):", shown.stdout, re.MULTILINE))
    assert stale == ["import_sae", "score_images", "select_prototypes"]


def test_two_autoencoders_of_one_file_name_that_change_places_change_the_table(
    tmp_path,
):
    workdir = copy_project(tmp_path)
    config = workdir / "tiny.yaml"
    study = yaml.safe_load(config.read_text())
    study["methods"]["imported"] = {"first": "a/sae.pt", "second": "b/sae.pt"}
    row = {"encoder": "tiny-vit", "layer": 3, "seed": 0, "n_prototypes": N_LATENTS}
    study["runs"] = [{**row, "method": ["first", "second"]}]
    study["features"]["runs"] = []
    for seed, folder in enumerate(("a", "b")):
        (workdir / folder).mkdir()
        write_theirs(workdir / folder / "sae.pt", seed)

    def table() -> dict[str, float]:
        config.write_text(yaml.safe_dump(study))
        target = ("results/tiny/map_table.csv", "--configfile", "tiny.yaml")
        shown = snakemake(workdir, *target)
        assert shown.returncode == 0, shown.stdout
        rows = pd.read_csv(workdir / "results/tiny/map_table.csv")
        return {method: rows["map"][rows.method == method].max() for method in methods}

    methods = ("first", "second")
    before = table()
    assert before["first"] != before["second"]
    study["methods"]["imported"] = {"first": "b/sae.pt", "second": "a/sae.pt"}
    assert table() == {"first": before["second"], "second": before["first"]}
