"""Autoencoders of SAELens do what its code does, or are refused with the reason."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from vitproto.prototypes.sae.saelens_format import read_saelens

WIDTH, N_LATENTS = 6, 20
CFG = {
    "architecture": "standard",
    "d_in": WIDTH,
    "d_sae": N_LATENTS,
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {"sae_lens_version": "6.0.0"},
}
TOPK = {**CFG, "architecture": "topk", "k": 3}
JUMPRELU = {**CFG, "architecture": "jumprelu"}


def tensors(**more):
    draw = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    return {
        "W_enc": normal(WIDTH, N_LATENTS),
        "b_enc": normal(N_LATENTS),
        "W_dec": normal(N_LATENTS, WIDTH),
        "b_dec": normal(WIDTH),
        **more,
    }


THRESHOLDS = {"threshold": torch.linspace(-0.5, 2, N_LATENTS)}


def write(folder, cfg, weights):
    """Both files; gives their paths."""
    paths = folder / "sae_weights.safetensors", folder / "cfg.json"
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, paths[0])
    paths[1].write_text(json.dumps(cfg))
    return paths


def slow(cfg, weights, x_BD):
    """Latents and reconstruction by the formulas of that project, in float64."""
    W = {name: tensor.double() for name, tensor in weights.items()}
    x_BD = x_BD.double()
    if cfg.get("apply_b_dec_to_input", True):
        x_BD = x_BD - W["b_dec"]
    pre_BS = x_BD @ W["W_enc"] + W["b_enc"]
    norm_S = torch.ones(N_LATENTS).double()
    if cfg.get("rescale_acts_by_decoder_norm"):
        norm_S = W["W_dec"].norm(dim=1)
    pre_BS = pre_BS * norm_S
    latents_BS = pre_BS.clamp(min=0)
    if "threshold" in W:
        latents_BS[pre_BS <= W["threshold"]] = 0
    if "log_threshold" in W:
        latents_BS[pre_BS <= W["log_threshold"].exp()] = 0
    k = cfg.get("k", cfg.get("activation_fn_kwargs", {}).get("k"))
    if k:
        latents_BS[latents_BS < latents_BS.sort(1).values[:, -k][:, None]] = 0
    return latents_BS, (latents_BS / norm_S) @ W["W_dec"] + W["b_dec"]


@pytest.mark.parametrize(
    ("cfg", "weights"),
    [
        (CFG, tensors()),
        ({**CFG, "apply_b_dec_to_input": False}, tensors()),
        (TOPK, tensors()),
        ({**TOPK, "rescale_acts_by_decoder_norm": True}, tensors()),
        (JUMPRELU, tensors(**THRESHOLDS)),
        ({**JUMPRELU, "apply_b_dec_to_input": False}, tensors(**THRESHOLDS)),
        (JUMPRELU, tensors(log_threshold=torch.linspace(-3, 1, N_LATENTS))),
        # Before version 6.
        (
            {
                **{"d_in": WIDTH, "d_sae": N_LATENTS, "normalize_activations": False},
                **{"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}},
            },
            tensors(),
        ),
        ({"d_in": WIDTH, "d_sae": N_LATENTS}, tensors()),
    ],
    ids=[
        *("relu", "b_dec not subtracted", "topk", "topk, by norm", "jumprelu"),
        *("jumprelu, b_dec not subtracted", "log thresholds", "old topk", "old relu"),
    ],
)
def test_latents_and_reconstructions_are_those_of_the_formulas(tmp_path, cfg, weights):
    sae = read_saelens(*write(tmp_path, cfg, weights))
    x_BD = 2 * torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(1))
    latents_BS, decoded_BD = slow(cfg, weights, x_BD)
    assert 0 < (latents_BS > 0).double().mean() < 0.7
    ours_BS = sae(x_BD)
    torch.testing.assert_close(ours_BS.double(), latents_BS, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        sae.decode(ours_BS).double(), decoded_BD, atol=1e-3, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "gated"}, "says architecture 'gated': this version of"),
        ({"architecture": "batchtopk"}, "save it by save_inference_model"),
        ({"architecture": "topk"}, "k in {cfg} is None, not an integer of at least 1"),
        ({"normalize_activations": "layer_norm"}, "done to each activation by itself"),
        (
            {"normalize_activations": "expected_average_only_in"},
            "the factor is not in the file: fold it",
        ),
        ({"reshape_activations": "hook_z"}, "activations of attention heads"),
        (
            {"d_in": WIDTH + 1},
            "W_enc in {weights} has shape (6, 20), but {cfg} says",
        ),
        (
            {"architecture": "jumprelu"},
            "W_dec, W_enc, b_dec, b_enc, threshold",
        ),
        ({"d_sae": "many"}, "d_sae in {cfg} is 'many', not an integer"),
        (
            {"activation_fn_str": "tanh-relu"},
            "says the activation 'tanh-relu' with",
        ),
        (
            {"activation_fn_str": "topk", "activation_fn_kwargs": [3]},
            "says the activation 'topk' with [3]: this version",
        ),
        (
            {"apply_b_dec_to_input": "false"},
            "apply_b_dec_to_input in {cfg} is 'false', neither true nor false",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused(tmp_path, changes, message):
    weights, cfg = write(tmp_path, {**CFG, **changes}, tensors())
    expected = re.escape(message.format(cfg=cfg, weights=weights))
    with pytest.raises(ValueError, match=expected):
        read_saelens(weights, cfg)


def test_a_row_of_zeros_has_no_norm_to_divide_by(tmp_path):
    weights = tensors()
    weights["W_dec"][4] = 0
    cfg = {**TOPK, "rescale_acts_by_decoder_norm": True}
    with pytest.raises(ValueError, match="W_dec in .* has a row of zeros"):
        read_saelens(*write(tmp_path, cfg, weights))


def test_a_latent_with_an_infinite_threshold_is_never_active(tmp_path):
    threshold = torch.zeros(N_LATENTS)
    threshold[2] = torch.inf
    sae = read_saelens(*write(tmp_path, JUMPRELU, tensors(threshold=threshold)))
    latents_BS = sae(torch.randn(100, WIDTH))
    assert (latents_BS[:, 2] == 0).all()
    assert (latents_BS[:, 3] > 0).any()


def test_damaged_and_missing_files_are_named(tmp_path):
    weights, cfg = write(tmp_path, CFG, tensors())
    with pytest.raises(ValueError, match="there is no cfg.json beside it"):
        read_saelens(weights, None)
    content = cfg.read_text()
    cfg.write_text(content[:-5])
    with pytest.raises(ValueError, match=rf"{re.escape(str(cfg))} is damaged"):
        read_saelens(weights, cfg)
    cfg.write_text(content)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"{re.escape(str(weights))} is damaged"):
        read_saelens(weights, cfg)
    weights.unlink()
    with pytest.raises(ValueError, match="there is no file"):
        read_saelens(weights, cfg)
    nan = tensors()
    nan["b_enc"][3] = torch.nan
    with pytest.raises(ValueError, match="b_enc in .* has values that are NaN"):
        read_saelens(*write(tmp_path, CFG, nan))
