"""A `sae.pt` of the saev project says the same here as there, or is refused.

The forward pass of that project is written down again here, in float64.
"""

import io
import json
import os
import runpy
from dataclasses import replace

import pytest
import torch
from recorded import LAYER, TOY, write_shards

from vitproto.core.project import PROJECT
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.checkpoint import load
from vitproto.prototypes.sae.saev_format import read_saev, write_saev
from vitproto.prototypes.scorer import DotProduct

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
    "1, relu": ({"schema": 1, "cfg": OLD, "cls": "Relu", **BY}, {}),
    "1, topk": (
        {"schema": 1, "cfg": {**OLD, "top_k": TOP_K}, "cls": "TopK", **BY},
        {"activation": "TopK", "top_k": TOP_K},
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
        threshold=threshold,
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


@pytest.mark.parametrize(("threshold", "l0"), [(0.5, 3), (-1.0, None)])
def test_what_that_project_cannot_express_is_not_exported(threshold, l0, tmp_path):
    sae = replace(OURS["Relu"], threshold=threshold, l0=l0)
    with pytest.raises(ValueError, match=f"not threshold {threshold} with l0 {l0}"):
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
        ({"scale": torch.ones(1)}, "holds the tensors .*scale, but its header re"),
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
        ValueError, match="W_enc, b_enc, W_dec, but its header requires"
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
