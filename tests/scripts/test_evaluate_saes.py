"""The stage measures every autoencoder of a family and says what it measured."""

import runpy

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from autoencoders import normal, random_autoencoder, write_family
from recorded import LAYER, write_shards, write_split_list

from vitproto.activations.stream import Activations
from vitproto.core.project import PROJECT
from vitproto.prototypes import checkpoint
from vitproto.prototypes.sae.evaluation import HeldOut, evaluate
from vitproto.prototypes.scorer import DotProduct
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run

evaluate_saes = runpy.run_path(str(PROJECT / "scripts/evaluate_saes.py"))[
    "evaluate_saes"
]
TOPK = FittedFamily("corpus", "tiny", LAYER, "topk")
SECOND = "k20-lr0.001-sparsity9-seed0"
CFG = HeldOut(every=3, n_correlated=8, seed=0)
FAMILY = {
    Run(20, 0, 0.001, 4.0): random_autoencoder(20, 6, l0=4),
    Run(20, 0, 0.001, 9.0): random_autoencoder(20, 6, seed=1, l0=9),
    Run(9, 2, None, 4.0): random_autoencoder(9, 6, l0=4),
}


def write_training(path):
    """The log of a family; of its last run, no error was measured.

    In the last quarter, one error falls by 0.1, twice as fast as a share of the last.
    """
    rows = ["run,n_patches,held_out_nmse"]
    for run, last in (("k20-lr0.001-sparsity4-seed0", 0.5), (SECOND, 1.0)):
        rows.append(f"{run},300,")
        rows += [f"{run},{600 + 20 * i},{last + 0.02 * (10 - i)}" for i in (0, 5, 10)]
    rows.append("k9-sparsity4-seed2,800,")
    path.write_text("\n".join(rows) + "\n")
    return path


def run_stage(folder, shards, manifest, runs=FAMILY):
    folder.mkdir()
    evaluate_saes(
        shards,
        shards[0].parent / "splits.csv",
        manifest,
        write_training(folder / "training.csv"),
        folder / "sae_metrics.csv",
        folder / "latents.h5",
        runs=tuple(run.name for run in runs),
        family=TOPK,
        held_out_every=CFG.every,
        n_correlated=CFG.n_correlated,
        seed=CFG.seed,
        device="cpu",
    )
    return folder / "sae_metrics.csv", folder / "latents.h5"


def test_each_run_has_a_row_and_its_latents_whatever_the_shards(tmp_path):
    x_NPD = normal(0, 25, 5, 6)
    manifest = write_family(tmp_path, FAMILY, TOPK)
    shards = write_shards(tmp_path, x_NPD)
    write_split_list(tmp_path, ["train"] * 25)
    metrics, latents = run_stage(tmp_path / "one", shards, manifest)
    found = evaluate(
        Activations.open(shards, LAYER), list(FAMILY.values()), CFG, torch.device("cpu")
    )
    lines = metrics.read_text().splitlines()
    assert lines[0] == (
        "encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_patches,mse,"
        "nmse,explained_variance,l0,l1,n_dead,n_almost_dead,n_dense,"
        "mean_absolute_correlation,coherence,n_trained_patches,nmse_slope"
    )
    assert lines[1].startswith(f"tiny,{LAYER},topk,20,0.001,4.0,0,40,")
    assert lines[3].startswith(f"tiny,{LAYER},topk,9,,4.0,2,40,")
    table = pd.read_csv(metrics)
    assert table["n_trained_patches"].tolist() == [800, 800, 800]
    np.testing.assert_allclose(table["nmse_slope"], [-0.4, -0.2, np.nan])
    for column in table.columns[7:-2]:
        expected = [getattr(evaluation, column) for evaluation in found]
        np.testing.assert_array_equal(table[column], expected)
    with h5py.File(latents) as file:
        assert (file.attrs["n_patches"], file.attrs["every"]) == (40, 3)
        assert file.attrs["method"] == b"topk"
        for run, evaluation in zip(FAMILY, found, strict=True):
            group = file[run.name]
            np.testing.assert_array_equal(group["frequency_S"], evaluation.frequency_S)
            np.testing.assert_array_equal(
                group["mean_value_S"], evaluation.mean_value_S
            )

    in_three = write_shards(tmp_path, x_NPD, n_shards=3)
    again = run_stage(tmp_path / "three", in_three[::-1], manifest)
    assert again[0].read_bytes() == metrics.read_bytes()
    assert again[1].read_bytes() == latents.read_bytes()


def test_prototypes_that_are_no_autoencoder_are_refused(tmp_path):
    path = tmp_path / "k4-seed0.safetensors"
    checkpoint.save(path, DotProduct(normal(0, 4, 6)), {})
    checkpoint.write_manifest(tmp_path / "checkpoints.json", {Run(4, 0): path}, TOPK)
    shards = write_shards(tmp_path, normal(0, 6, 5, 6))
    write_split_list(tmp_path, ["train"] * 6)
    with pytest.raises(ValueError, match="holds a dot_product, which reconstructs"):
        run_stage(tmp_path / "out", shards, tmp_path / "checkpoints.json", [Run(4, 0)])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["training.csv"]


def test_an_autoencoder_of_another_width_is_refused_with_both_widths(tmp_path):
    manifest = write_family(tmp_path, FAMILY, TOPK)
    shards = write_shards(tmp_path, normal(0, 6, 5, 7))
    write_split_list(tmp_path, ["train"] * 6)
    with pytest.raises(ValueError, match="of width 6, but those of layer 2 have 7"):
        run_stage(tmp_path / "out", shards, manifest)


def test_autoencoders_of_another_layer_than_they_are_measured_in_are_refused(tmp_path):
    of_another = {"fitted_to": {"encoder": "tiny"}, "layer": LAYER + 1}
    manifest = write_family(tmp_path, FAMILY, TOPK, **of_another)
    shards = write_shards(tmp_path, normal(0, 25, 5, 6))
    write_split_list(tmp_path, ["train"] * 25)
    with pytest.raises(ValueError, match=r"layer 3, but .*h5 with layer 2: use"):
        run_stage(tmp_path / "out", shards, manifest)


def test_autoencoders_of_another_family_or_other_runs_are_refused(tmp_path):
    shards = write_shards(tmp_path, normal(0, 6, 5, 6))
    write_split_list(tmp_path, ["train"] * 6)
    other = FittedFamily("corpus", "tiny", LAYER, "relu")
    manifest = write_family(tmp_path, FAMILY, other)
    with pytest.raises(ValueError, match="says method relu, expected method topk"):
        run_stage(tmp_path / "a", shards, manifest)
    manifest = write_family(tmp_path, FAMILY, TOPK)
    message = "lacks k4-seed0, and holds k20-lr0.001-sparsity4-seed0 and 2 more"
    with pytest.raises(ValueError, match=message):
        run_stage(tmp_path / "b", shards, manifest, [Run(4, 0)])
