"""Probes come back from disk as they were, or with a clear error."""

import numpy as np
import pytest
import torch
from recorded import LAYER, write_shards
from safetensors.torch import save_file

from vitproto.activations.stream import Activations
from vitproto.segmentation.probes.linear_probe import (
    LinearProbe,
    TrainedProbe,
    load_probe,
    load_probes,
    read_probe_settings,
    save_probe,
    save_probes,
)

SETTINGS = {"layer": 3, "learning_rates": [0.001, 0.01]}


def random_probe(seed=0, n_classes=4, width=6):
    generator = torch.Generator().manual_seed(seed)
    return LinearProbe(
        torch.randn(n_classes, width, generator=generator),
        torch.randn(n_classes, generator=generator),
    )


def test_logits_are_products_and_biases_worked_out_by_hand():
    probe = LinearProbe(
        torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]]),
        torch.tensor([0.5, 0.0, -1.0]),
    )
    assert (probe.n_classes, probe.width) == (3, 2)
    logits_BC = probe(torch.tensor([[1.0, 1.0], [2.0, -1.0]]))
    assert logits_BC.tolist() == [[3.5, -1.0, 2.0], [0.5, 1.0, 5.0]]


def test_a_probe_comes_back_as_it_was_with_its_settings(tmp_path):
    path, again = tmp_path / "probe.safetensors", tmp_path / "again.safetensors"
    save_probe(path, random_probe(), SETTINGS)
    loaded = load_probe(path)
    assert torch.equal(loaded.weight_CD, random_probe().weight_CD)
    assert torch.equal(loaded.bias_C, random_probe().bias_C)
    assert read_probe_settings(path) == SETTINGS
    save_probe(again, loaded, dict(reversed(SETTINGS.items())))
    assert again.read_bytes() == path.read_bytes()


def test_a_sweep_comes_back_in_its_order(tmp_path):
    path = tmp_path / "probes.safetensors"
    trained = [
        TrainedProbe(0.01, 1e-5, 0.25, random_probe(1)),
        TrainedProbe(3e-5, 0.1, 0.5, random_probe(2)),
    ]
    save_probes(path, trained, SETTINGS)
    loaded = load_probes(path)
    for one, other in zip(loaded, trained, strict=True):
        assert torch.equal(one.probe.weight_CD, other.probe.weight_CD)
        assert torch.equal(one.probe.bias_C, other.probe.bias_C)
        for name in ("learning_rate", "weight_decay", "loss"):
            assert getattr(one, name) == getattr(other, name)
    assert read_probe_settings(path) == SETTINGS


def test_one_probe_is_not_taken_for_a_sweep(tmp_path):
    path = tmp_path / "probe.safetensors"
    save_probe(path, random_probe(), {})
    with pytest.raises(ValueError, match="holds linear_probe, expected linear_probes"):
        load_probes(path)


def test_files_that_are_missing_cut_or_something_else_are_named(tmp_path):
    path = tmp_path / "probe.safetensors"
    with pytest.raises(ValueError, match="there is no .*probe.safetensors"):
        load_probe(path)
    save_probe(path, random_probe(), {})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="probe.safetensors is damaged"):
        load_probe(path)
    save_file({"x": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="holds no linear probes"):
        load_probe(path)


def test_activations_and_classes_that_do_not_fit_are_refused(tmp_path):
    shards = write_shards(tmp_path, np.zeros((2, 3, 6), "f4"))
    acts = Activations.open(shards, LAYER)
    path = tmp_path / "probe.safetensors"
    random_probe().check(path, acts, 4)
    with pytest.raises(ValueError, match="takes activations of width 7, but those of"):
        random_probe(width=7).check(path, acts, 4)
    with pytest.raises(ValueError, match="predicts 4 classes, but the labels have 5"):
        random_probe().check(path, acts, 5)
