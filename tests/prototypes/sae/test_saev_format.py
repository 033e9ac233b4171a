"""A `sae.pt` of the saev project says the same here as there, or is refused.

The forward pass of that project is written down again here, in float64.
"""

import io
import json
import os
import runpy
from dataclasses import replace

import pandas as pd
import pytest
import torch
from recorded import LAYER, TOY, with_threads, write_shards

from vitproto.activations.stream import Activations
from vitproto.core.project import PROJECT
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.checkpoint import load
from vitproto.prototypes.sae.import_check import (
    ImportCheck,
    check_import,
    report_import,
)
from vitproto.prototypes.sae.saev_format import (
    NOT_SUBTRACTED,
    Reading,
    read_saev,
    write_saev,
)
from vitproto.prototypes.scorer import DotProduct
from vitproto.study.family import FittedFamily

import_sae = runpy.run_path(str(PROJECT / "scripts/import_sae.py"))["import_sae"]
export_sae = runpy.run_path(str(PROJECT / "scripts/export_sae.py"))["export_sae"]

WIDTH, EXP_FACTOR, TOP_K = 6, 4, 5
N_LATENTS = WIDTH * EXP_FACTOR
THRESHOLD = "activation.threshold"


def weights() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        "W_enc": torch.randn(WIDTH, N_LATENTS, generator=draw),
        "b_enc": torch.randn(N_LATENTS, generator=draw),
        "W_dec": torch.randn(N_LATENTS, WIDTH, generator=draw),
        "b_dec": torch.randn(WIDTH, generator=draw),
    }


@pytest.fixture
def acts_BD() -> torch.Tensor:
    return 3 * torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(1)) + 1


def saev_file(path, header, state):
    """Written as the project writes it: a line of JSON, then what torch saves."""
    payload = io.BytesIO()
    torch.save(state, payload)
    path.write_bytes(json.dumps(header).encode() + b"\n" + payload.getvalue())
    return path


def forward(state, acts_BD, activation="Relu", top_k=None, subtract=False):
    """That project's forward pass: latents and reconstruction."""
    W = {name: tensor.double() for name, tensor in state.items()}
    x_BD = acts_BD.double() - (W["b_dec"] if subtract else 0)
    h_BS = x_BD @ W["W_enc"] + W["b_enc"]
    if activation == "Relu":
        f_BS = h_BS.relu()
    elif activation == "BatchTopK":
        f_BS = torch.where(h_BS > max(0.0, W[THRESHOLD].item()), h_BS, 0)
    else:
        kept_BS = torch.zeros_like(h_BS).scatter(1, h_BS.topk(top_k).indices, 1)
        f_BS = h_BS * kept_BS
    return f_BS, f_BS @ W["W_dec"] + W["b_dec"]


FLAGS = {"normalize_w_dec": True, "remove_parallel_grads": True}
OLD = {"d_vit": WIDTH, "exp_factor": EXP_FACTOR, "n_reinit_samples": 8, "seed": 0}
MIDDLE = {"d_model": WIDTH, "exp_factor": EXP_FACTOR, **FLAGS}
NEW = {"d_model": WIDTH, "d_sae": N_LATENTS, "reinit_blend": 0.8, **FLAGS}
BY = {"commit": "027f95a", "lib": "0.1.0"}
L1 = {"cls": "L1Sparsity", "params": {"key": "l1-sparsity", "coeff": 4e-4}}


def named(cls, **params):
    return {"activation": {"cls": cls, "params": params}}


FORMS = {
    "no schema": (
        {**OLD, **FLAGS, "sparsity_coeff": 4e-4, "ghost_grads": False},
        {"subtract": True},
    ),
    "1, relu": (
        {"schema": 1, "cfg": OLD, "cls": "Relu", **BY, "commit": "5ecb4f1"},
        {"subtract": True},
    ),
    "1, topk": (
        {"schema": 1, "cfg": {**OLD, "top_k": TOP_K}, "cls": "TopK"},
        {"activation": "TopK", "top_k": TOP_K, "subtract": True},
    ),
    "1, activation named": (
        {
            "schema": 1,
            "cls": "SparseAutoencoderConfig",
            "cfg": {**OLD, **named("TopK", top_k=TOP_K)},
            **BY,
        },
        {"activation": "TopK", "top_k": TOP_K},
    ),
    "2, relu": ({"schema": 2, "cfg": {**OLD, **named("Relu")}, **BY}, {}),
    "2, batchtopk by activation": (
        {"schema": 2, "cfg": {**OLD, **named("BatchTopK", top_k=TOP_K)}, **BY},
        {"activation": "TopK", "top_k": TOP_K},
    ),
    "3, topk": (
        {"schema": 3, "cfg": {**MIDDLE, **named("TopK", top_k=TOP_K)}, **BY},
        {"activation": "TopK", "top_k": TOP_K},
    ),
    "4, batchtopk": (
        {"schema": 4, "cfg": {**NEW, **named("BatchTopK", top_k=TOP_K)}, **BY},
        {"activation": "BatchTopK"},
    ),
    "5, relu": ({"schema": 5, "cfg": {**NEW, **named("Relu", sparsity=L1)}, **BY}, {}),
    "5, topk": (
        {"schema": 5, "cfg": {**NEW, **named("TopK", key="top-k", top_k=3)}, **BY},
        {"activation": "TopK", "top_k": 3},
    ),
}


@pytest.mark.parametrize(("header", "how"), FORMS.values(), ids=FORMS.keys())
def test_every_form_does_what_it_does_in_that_project(header, how, tmp_path, acts_BD):
    state = weights()
    if how.get("activation") == "BatchTopK":
        state[THRESHOLD] = torch.tensor(2.5)
    sae = read_saev(saev_file(tmp_path / "sae.pt", header, state))
    latents_BS, decoded_BD = forward(state, acts_BD, **how)
    # TopK there keeps negative values where too few are positive; ours never does.
    negative_BS = latents_BS < 0
    assert negative_BS.sum() < 0.02 * (latents_BS != 0).sum()
    ours_BS = sae(acts_BD).double()
    torch.testing.assert_close(ours_BS, latents_BS.relu(), atol=1e-5, rtol=1e-5)
    ours_BD = sae.decode(latents_BS.float()).double()
    torch.testing.assert_close(ours_BD, decoded_BD, atol=1e-4, rtol=1e-5)


OLD_STATE = {
    "W_enc": torch.tensor([[1.0, 0.0, -1.0, 2.0], [0.0, 1.0, 1.0, -1.0]]),
    "b_enc": torch.tensor([0.5, 0.0, 1.0, -1.0]),
    "W_dec": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 2.0]]),
    "b_dec": torch.tensor([1.0, 2.0]),
}
X_BD = torch.tensor([[3.0, 1.0]])
# x - b_dec = (2, -1), so x W_enc + b_enc is (2 + 0.5, -1, -2 - 1 + 1, 4 + 1 - 1):
# the latents are (2.5, 0, 0, 4), and x̂ = 2.5 (1, 0) + 4 (0, 2) + b_dec = (3.5, 10).
SUBTRACTED = ([[2.5, 0, 0, 4]], [[3.5, 10]])
# Without it, (3 + 0.5, 1, -3 + 1 + 1, 6 - 1 - 1): the latents are (3.5, 1, 0, 4), and
# x̂ = 3.5 (1, 0) + (0, 1) + 4 (0, 2) + b_dec = (4.5, 11).
NOT_AT_ALL = ([[3.5, 1, 0, 4]], [[4.5, 11]])


def old_file(path, **header):
    """A file of schema 1's first form, as 5951e84 and later commits write it."""
    cfg = {**OLD, **FLAGS, "d_vit": 2, "exp_factor": 2}
    written = {"schema": 1, "cfg": cfg, "cls": "Relu", "lib": "0.1.0", **header}
    return saev_file(path, written, OLD_STATE)


def passed_through(path, reading):
    sae = read_saev(path, reading)
    latents_BS = sae(X_BD)
    return latents_BS.tolist(), sae.decode(latents_BS).tolist()


@pytest.mark.parametrize("commit", ["5951e84", "5ecb4f1", "4f87ac7", "unknown", None])
def test_an_old_file_subtracts_b_dec_as_its_commit_did(commit, tmp_path, caplog):
    header = {} if commit is None else {"commit": commit}
    path = old_file(tmp_path / "sae.pt", **header)
    with caplog.at_level("INFO"):
        assert passed_through(path, Reading()) == SUBTRACTED
    said = f"as its header says (schema 1, commit {commit or 'unknown'})"
    assert f"b_dec is subtracted before encoding, {said}" in caplog.text
    assert "many files of its age were trained on scaled activations" in caplog.text
    other = Reading(subtract_b_dec_before_encoding=False)
    assert passed_through(path, other) == NOT_AT_ALL


def test_for_five_hours_old_files_did_not_subtract_b_dec(tmp_path, caplog):
    # Abbreviated names of commits grow with a repository.
    for commit in (*NOT_SUBTRACTED, "e7ca004f2", "65c5a2b" + 33 * "0"):
        path = old_file(tmp_path / "sae.pt", commit=commit)
        with caplog.at_level("INFO"):
            assert passed_through(path, Reading()) == NOT_AT_ALL
        said = f"as its header says (schema 1, commit {commit})"
        assert f"b_dec is not subtracted before encoding, {said}" in caplog.text
        caplog.clear()
    other = Reading(subtract_b_dec_before_encoding=True)
    assert passed_through(path, other) == SUBTRACTED
    assert len(NOT_SUBTRACTED) == 12


def test_a_file_of_any_schema_can_be_read_the_other_way(tmp_path, caplog):
    """Later files of the Matryoshka objective subtract, and do not say so."""
    cfg = {"d_model": 2, "d_sae": 4, **named("Relu")}
    path = saev_file(tmp_path / "sae.pt", {"schema": 5, "cfg": cfg}, OLD_STATE)
    assert passed_through(path, Reading()) == NOT_AT_ALL
    with caplog.at_level("INFO"):
        assert passed_through(path, Reading(True)) == SUBTRACTED
    assert "b_dec is subtracted before encoding, as the study says" in caplog.text
    assert "scaled activations" not in caplog.text


def test_activations_are_scaled_for_a_file_as_they_were_in_its_training(tmp_path):
    path, mean = old_file(tmp_path / "sae.pt"), tmp_path / "mean.pt"
    torch.save(torch.tensor([1.0, -1.0]), mean)
    # z = ((3 - 1) / 2, (1 + 1) / 2) = (1, 1), and without b_dec (0, -1), which gives
    # (0.5, -1, -1 + 1, 1 - 1): the latents are (0.5, 0, 0, 0). ẑ = (0.5, 0) + b_dec =
    # (1.5, 2), and x̂ = 2 ẑ + mean = (4, 3).
    scaled = Reading(mean=mean, norm=2.0)
    assert passed_through(path, scaled) == ([[0.5, 0, 0, 0]], [[4, 3]])
    # Without norm, z = (2, 2) and without b_dec (1, 0): (1.5, 0, -1 + 1, 2 - 1).
    # x̂ = 1.5 (1, 0) + (0, 2) + b_dec + mean = (3.5, 3).
    assert passed_through(path, Reading(mean=mean)) == ([[1.5, 0, 0, 1]], [[3.5, 3]])
    # Without mean, z = (1.5, 0.5) and without b_dec (0.5, -1.5):
    # (1, -1.5, -0.5 - 1.5 + 1, 1 + 1.5 - 1). x̂ = 2 ((1, 0) + 1.5 (0, 2) + b_dec).
    assert passed_through(path, Reading(norm=2.0)) == ([[1, 0, 0, 1.5]], [[4, 10]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), r"the mean in .*mean.pt is \(3,\), but .*sae.pt takes .*h 2"),
        ({"mean": torch.zeros(2)}, "the mean in .*mean.pt is dict, but"),
        (torch.tensor([0.0, torch.nan]), "mean.pt has values that are NaN or infinite"),
        (None, "there is no file .*mean.pt with the mean for .*sae.pt: write the path"),
        (b"1 2", "the mean in .*mean.pt cannot be read: write the path of a tensor"),
    ],
)
def test_a_mean_that_does_not_go_with_the_file_is_refused(content, message, tmp_path):
    path, mean = old_file(tmp_path / "sae.pt"), tmp_path / "mean.pt"
    if isinstance(content, bytes):
        mean.write_bytes(content)
    elif content is not None:
        torch.save(content, mean)
    with pytest.raises(ValueError, match=message):
        read_saev(path, Reading(mean=mean))


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan"), float("inf")])
def test_a_norm_that_is_not_a_positive_number_is_refused(norm, tmp_path):
    with pytest.raises(ValueError, match=f"norm is {norm}: write a number above 0"):
        read_saev(old_file(tmp_path / "sae.pt"), Reading(norm=norm))


def test_what_topk_keeps_although_it_is_negative_counts_nothing(tmp_path):
    state = {
        "W_enc": torch.tensor([[1.0, -1.0]]),
        "b_enc": torch.zeros(2),
        "W_dec": torch.ones(2, 1),
        "b_dec": torch.zeros(1),
    }
    cfg = {"d_model": 1, "d_sae": 2, **named("TopK", top_k=2)}
    sae = read_saev(saev_file(tmp_path / "sae.pt", {"schema": 5, "cfg": cfg}, state))
    x_BD = torch.tensor([[3.0]])
    assert forward(state, x_BD, "TopK", 2)[0].tolist() == [[3.0, -3.0]]
    assert sae(x_BD).tolist() == [[3.0, 0.0]]


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_a_threshold_that_is_not_positive_is_relu(threshold, tmp_path, acts_BD):
    state = {**weights(), THRESHOLD: torch.tensor(threshold)}
    header = {"schema": 5, "cfg": {**NEW, **named("BatchTopK", top_k=TOP_K)}}
    sae = read_saev(saev_file(tmp_path / "sae.pt", header, state))
    latents_BS, _ = forward(state, acts_BD)
    torch.testing.assert_close(sae(acts_BD).double(), latents_BS, atol=1e-5, rtol=1e-5)


def ours(threshold: float, l0: int | None) -> SparseAutoencoder:
    """One of ours, scaling included."""
    state = weights()
    draw = torch.Generator().manual_seed(2)
    return SparseAutoencoder(
        W_enc_SD=state["W_enc"].T.contiguous(),
        b_enc_S=state["b_enc"] + 1,
        W_dec_SD=state["W_dec"],
        b_dec_D=state["b_dec"],
        mean_D=torch.randn(WIDTH, generator=draw),
        norm=1.7,
        threshold_S=torch.full((N_LATENTS,), threshold),
        l0=l0,
    )


OURS = {
    "Relu": ours(0.0, None),
    "TopK": ours(0.0, 3),
    "BatchTopK": ours(1.25, None),
}


@pytest.mark.parametrize(("activation", "sae"), OURS.items(), ids=OURS.keys())
def test_ours_does_the_same_there_and_comes_back_the_same(
    activation, sae, tmp_path, acts_BD
):
    path = tmp_path / "sae.pt"
    write_saev(path, sae)
    line, payload = path.read_bytes().split(b"\n", 1)
    cfg = json.loads(line)["cfg"]
    assert json.loads(line)["schema"] == 5
    assert (cfg["d_model"], cfg["d_sae"]) == (WIDTH, N_LATENTS)
    assert cfg["activation"]["cls"] == activation
    assert cfg["normalize_w_dec"] is False
    state = torch.load(io.BytesIO(payload), weights_only=True)
    # Exact to rounding to float32: latents are counted in float64 on both sides.
    latents_BS, decoded_BD = forward(state, acts_BD, activation, sae.l0)
    assert (latents_BS >= 0).all()
    assert 0.05 < (latents_BS > 0).double().mean() < 0.7
    ours_BS = sae(acts_BD)
    torch.testing.assert_close(ours_BS.double(), latents_BS, atol=1e-5, rtol=1e-5)
    ours_BD = sae.decode(ours_BS).double()
    torch.testing.assert_close(ours_BD, decoded_BD, atol=1e-4, rtol=1e-5)
    again = read_saev(path)
    torch.testing.assert_close(again(acts_BD), ours_BS, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        again.decode(ours_BS), sae.decode(ours_BS), atol=1e-4, rtol=1e-5
    )


def test_the_same_autoencoder_gives_the_same_bytes(tmp_path):
    for name in ("a.pt", "b.pt"):
        write_saev(tmp_path / name, OURS["BatchTopK"])
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_what_that_project_cannot_express_is_not_exported(tmp_path):
    thresholds_S = torch.linspace(0.25, 1.5, N_LATENTS)
    sae = replace(OURS["Relu"], threshold_S=thresholds_S)
    with pytest.raises(ValueError, match=r"has thresholds from 0\.25 to 1\.5, as Jump"):
        write_saev(tmp_path / "sae.pt", sae)
    assert not any(tmp_path.iterdir())


HEADER = {"schema": 5, "cfg": {**NEW, **named("Relu")}}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([1, 2], "its first line is not a JSON header"),
        ({**HEADER, "schema": 6}, "schema 6: .* reads 1 to 5, and headers without one"),
        ({**HEADER, "schema": "x"}, "unknown schema 'x'"),
        ({"schema": 5, "cfg": {**NEW, **named("JumpRelu")}}, "activation 'JumpRelu'"),
        ({"schema": 5, "cfg": NEW}, "its header lacks activation"),
        ({"schema": 1, "cls": "Oracle", "cfg": OLD}, "the unknown activation 'Oracle'"),
        ({"schema": 2}, "its header lacks cfg"),
        (
            {"schema": 5, "cfg": {**HEADER["cfg"], "d_model": 7}},
            r"W_enc .*\(6, 24\), bu",
        ),
        ({"schema": 5, "cfg": {**HEADER["cfg"], "d_sae": 23}}, "width 6, 23 latents"),
        (
            {"schema": 5, "cfg": {**HEADER["cfg"], "d_sae": 0}},
            "d_sae in its header is 0",
        ),
        ({"schema": 5, "cfg": {**NEW, **named("TopK")}}, "top_k in its header is None"),
        ({"d_vit": WIDTH}, "exp_factor in its header is None"),
        (
            {"schema": 1, "cls": "BatchTopK", "cfg": {**OLD, "top_k": 5}},
            "no activation.threshold: its latents depend on the batch",
        ),
        (
            {"schema": 5, "cfg": {**NEW, **named("BatchTopK")}},
            "no activation.threshold",
        ),
    ],
)
def test_headers_that_cannot_be_evaluated_are_refused(header, message, tmp_path):
    path = saev_file(tmp_path / "sae.pt", header, weights())
    with pytest.raises(ValueError, match=message) as caught:
        read_saev(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b_enc": torch.zeros(N_LATENTS, 1)}, r"b_enc .* shape \(24, 1\), but"),
        ({"W_enc": weights()["W_dec"]}, r"W_enc .* shape \(24, 6\), but"),
        ({"b_dec": torch.full((WIDTH,), torch.nan)}, "b_dec .* NaN or infinite"),
        (
            {"scale": torch.ones(1)},
            "holds the tensors .*scale, but its header .* re",
        ),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(change, message, tmp_path):
    path = saev_file(tmp_path / "sae.pt", HEADER, {**weights(), **change})
    with pytest.raises(ValueError, match=message):
        read_saev(path)


def test_a_missing_tensor_is_named(tmp_path):
    state = weights()
    del state["b_dec"]
    path = saev_file(tmp_path / "sae.pt", HEADER, state)
    with pytest.raises(
        ValueError, match="W_dec, W_enc, b_enc, but its header .* requires"
    ):
        read_saev(path)


def test_files_of_other_kinds_and_damaged_ones_are_named(tmp_path):
    path = saev_file(tmp_path / "sae.pt", HEADER, weights())
    whole = path.read_bytes()
    header = whole.split(b"\n", 1)[0] + b"\n"
    for content in (whole[:-300], whole[: len(header) + 40], header):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read .* damaged"):
            read_saev(path)
    torch.save(weights(), path)  # without a header
    for content in (path.read_bytes(), b"", b"\xff\x00\n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="first line is not a JSON header"):
            read_saev(path)
    saev_file(path, HEADER, [torch.ones(1)])
    with pytest.raises(ValueError, match="not a state dict of tensors"):
        read_saev(path)
    with pytest.raises(ValueError, match="there is no file"):
        read_saev(tmp_path / "gone.pt")


class Trap:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "bare pickle"])
def test_a_pickle_that_runs_commands_is_never_opened(is_zip, tmp_path):
    mark, payload = tmp_path / "ran", io.BytesIO()
    state = {**weights(), "trap": Trap(mark)}
    torch.save(state, payload, _use_new_zipfile_serialization=is_zip)
    path = tmp_path / "sae.pt"
    path.write_bytes(json.dumps(HEADER).encode() + b"\n" + payload.getvalue())
    with pytest.raises(
        ValueError, match="objects other than tensors, which we never load"
    ):
        read_saev(path)
    assert not mark.exists()
    payload.seek(0)
    torch.load(payload, weights_only=False)  # the trap is one
    assert mark.exists()


RUNS = (f"k{N_LATENTS}-seed0",)


@pytest.fixture
def family(tmp_path, acts_BD):
    """The arguments of the stage, but for the file and the runs."""
    return {
        "shards": write_shards(tmp_path, acts_BD.reshape(10, 5, WIDTH)),
        "store": tmp_path / "store",
        "checkpoints": tmp_path / "checkpoints.json",
        "import_check": tmp_path / "import_check.csv",
        "family": TOY,
    }


def test_the_stage_stores_a_file_once_and_a_changed_file_anew(
    family, tmp_path, acts_BD
):
    path = saev_file(tmp_path / "sae.pt", HEADER, weights())
    for _ in range(2):
        import_sae(path, runs=RUNS, **family)
    (fitted,) = checkpoint.read_manifest(
        family["checkpoints"], TOY, [f"k{N_LATENTS}-seed0"]
    )
    assert len([*family["store"].iterdir()]) == 1
    assert torch.equal(load(fitted.path)(acts_BD), read_saev(path)(acts_BD))
    settings = checkpoint.read_settings(fitted.path)
    assert (settings["file"], settings["layer"]) == ("sae.pt", LAYER)
    saev_file(path, HEADER, {**weights(), "b_enc": torch.ones(N_LATENTS)})
    import_sae(path, runs=RUNS, **family)
    (changed,) = checkpoint.read_manifest(
        family["checkpoints"], TOY, [f"k{N_LATENTS}-seed0"]
    )
    assert changed.path != fitted.path
    assert checkpoint.read_settings(changed.path)["sha256"] != settings["sha256"]


def test_a_file_that_is_read_otherwise_is_stored_anew(family, tmp_path, acts_BD):
    path, mean = saev_file(tmp_path / "sae.pt", HEADER, weights()), tmp_path / "mean.pt"
    readings = [{}, {"subtract_b_dec_before_encoding": True}, {"scaling_norm": 2.0}]
    readings += [{"scaling_mean": mean}, {"scaling_mean": mean}]
    stored = []
    for i, reading in enumerate(readings):
        torch.save(torch.full((WIDTH,), float(i)), mean)
        import_sae(path, runs=RUNS, **family, **reading)
        (fitted,) = checkpoint.read_manifest(family["checkpoints"], TOY, RUNS)
        stored.append(load(fitted.path)(acts_BD).sum().item())
    assert len({*stored}) == len([*family["store"].iterdir()]) == len(readings)


def test_an_import_reports_error_and_sparsity_and_warns_of_a_wrong_reading(
    tmp_path, caplog
):
    acts_NPD = torch.tensor([[[1.0, 0.0], [-1.0, 2.0]]])
    family = {
        "shards": write_shards(tmp_path, acts_NPD),
        "store": tmp_path / "store",
        "checkpoints": tmp_path / "checkpoints.json",
        "import_check": tmp_path / "import_check.csv",
        "runs": ("k4-seed0",),
        "family": TOY,
    }
    both_DS = torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])
    state = {
        "W_enc": both_DS,
        "b_enc": torch.zeros(4),
        "W_dec": 0.5 * both_DS.T,
        "b_dec": torch.zeros(2),
    }
    cfg = {"d_model": 2, "d_sae": 4, **named("Relu")}
    path = saev_file(tmp_path / "sae.pt", {"schema": 5, "cfg": cfg}, state)
    with caplog.at_level("INFO"):
        import_sae(path, **family)
    # x̂ = x / 2, so the squared errors are 1/4 (1 + 5) = 1.5. The mean is (0, 1), and
    # the squared distances from it 2 + 2. One latent is active, and then two.
    (row,) = pd.read_csv(family["import_check"]).to_dict("records")
    assert row == {
        **{
            "encoder": "tiny",
            "layer": LAYER,
            "method": "toy",
            "file": f"{tmp_path.name}/sae.pt",
        },
        **{"n_images": 1, "n_patches": 2, "nmse": 1.5 / 4, "l0": 1.5},
    }
    assert f"{path}: NMSE 0.375 and L0 1.5 on 1 images" in caplog.text
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    # With x̂ = 0 they are 1 + 5.
    saev_file(path, {"schema": 5, "cfg": cfg}, {**state, "W_dec": torch.zeros(4, 2)})
    import_sae(path, **family)
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "reconstructs badly: NMSE 1.500 is not below 0.5." in warning.getMessage()
    assert "under methods: imported: toy in docs/settings" in warning.getMessage()


def test_an_import_whose_error_is_not_a_number_is_doubtful(tmp_path, caplog):
    check = ImportCheck(1, 1, float("nan"), 0.0)
    place = FittedFamily("corpus", "tiny", LAYER, "toy")
    report_import(tmp_path / "check.csv", tmp_path / "sae.pt", place, check)
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "reconstructs badly: NMSE nan is not below 0.5." in warning.getMessage()


def test_the_report_of_an_import_depends_on_neither_shards_nor_threads(tmp_path):
    draw = torch.Generator().manual_seed(5)
    acts_NPD = torch.randn(150, 5, WIDTH, generator=draw)
    sae = read_saev(saev_file(tmp_path / "sae.pt", HEADER, weights()))
    checks = []
    for n_shards, n_threads in ((1, 1), (4, 2), (7, 3)):
        shards = write_shards(tmp_path, acts_NPD, n_shards)
        acts = Activations.open(shards, LAYER)
        checks.append(with_threads(n_threads, lambda: check_import(acts, sae)))  # noqa: B023
    assert checks[0] == checks[1] == checks[2]
    assert checks[0].n_images == 64
    # The images are those at 0, 2, 4, 7, …: each 150 / 64 further, rounded down.
    few_NPD = acts_NPD[[i * 150 // 64 for i in range(64)]]
    few = Activations.open(write_shards(tmp_path, few_NPD), LAYER)
    assert check_import(few, sae) == checks[0]


def test_ours_says_itself_how_it_is_read(family, tmp_path):
    path = tmp_path / "ours.safetensors"
    checkpoint.save(path, OURS["TopK"], {})
    with pytest.raises(ValueError, match="ours.safetensors says itself how it is rea"):
        import_sae(path, runs=RUNS, **family, scaling_norm=2.0)


def test_an_autoencoder_of_another_study_is_taken_as_it_is(family, tmp_path, acts_BD):
    ours = read_saev(saev_file(tmp_path / "sae.pt", HEADER, weights()))
    scaled = replace(ours, mean_D=torch.ones(WIDTH), norm=3.0)
    path = tmp_path / "ours.safetensors"
    checkpoint.save(path, scaled, {"made": "elsewhere"})
    import_sae(path, runs=RUNS, **family)
    (fitted,) = checkpoint.read_manifest(
        family["checkpoints"], TOY, [f"k{N_LATENTS}-seed0"]
    )
    assert torch.equal(load(fitted.path)(acts_BD), scaled(acts_BD))
    checkpoint.save(path, DotProduct(torch.ones(2, WIDTH)), {})
    with pytest.raises(ValueError, match="holds a scorer of kind 'dot_product'"):
        import_sae(path, runs=("k2-seed0",), **family)


def test_an_autoencoder_of_another_study_keeps_what_it_was_fitted_to(family, tmp_path):
    ours = read_saev(saev_file(tmp_path / "sae.pt", HEADER, weights()))
    path = tmp_path / "ours.safetensors"
    fitted_to = {"encoder": "tiny", "dataset": "elsewhere"}
    checkpoint.save(path, ours, {"fitted_to": fitted_to, "layer": LAYER})
    import_sae(path, runs=RUNS, **family)
    (fitted,) = checkpoint.read_manifest(family["checkpoints"], TOY, RUNS)
    assert checkpoint.read_settings(fitted.path)["fitted_to"] == fitted_to
    checkpoint.save(path, ours, {"fitted_to": fitted_to, "layer": LAYER + 1})
    with pytest.raises(ValueError, match="ours.safetensors was made with layer 3, but"):
        import_sae(path, runs=RUNS, **family)


def test_another_encoders_autoencoder_is_refused_with_both_widths(family, tmp_path):
    state = {
        "W_enc": torch.ones(8, 16),
        "b_enc": torch.ones(16),
        "W_dec": torch.ones(16, 8),
        "b_dec": torch.ones(8),
    }
    header = {"schema": 5, "cfg": {"d_model": 8, "d_sae": 16, **named("Relu")}}
    path = saev_file(tmp_path / "sae.pt", header, state)
    with pytest.raises(ValueError, match="of width 8, but those in .* have 6: it was"):
        import_sae(path, runs=("k16-seed0",), **family)


def test_another_number_of_latents_says_what_to_write(family, tmp_path):
    path = saev_file(tmp_path / "sae.pt", HEADER, weights())
    with pytest.raises(ValueError, match="24 latents, .* write n_prototypes: 24"):
        import_sae(path, runs=("k512-seed0",), **family)


def test_a_stored_autoencoder_is_exported_and_other_scorers_are_not(tmp_path, acts_BD):
    stored, out = tmp_path / "a.safetensors", tmp_path / "sae.pt"
    checkpoint.save(stored, OURS["TopK"], {})
    export_sae(stored, out)
    torch.testing.assert_close(
        read_saev(out)(acts_BD), OURS["TopK"](acts_BD), atol=1e-5, rtol=1e-5
    )
    checkpoint.save(stored, DotProduct(torch.ones(2, 3)), {})
    with pytest.raises(ValueError, match="holds DotProduct, not a sparse autoencoder"):
        export_sae(stored, out)
