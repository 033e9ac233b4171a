"""Autoencoders of SAELens: `sae_weights.safetensors`, with `cfg.json` beside it.

B activations, D width, S latents.

The weights are `W_enc` (D × S), `b_enc`, `W_dec` (S × D), `b_dec` and, for JumpReLU,
`threshold` (S). What that project's code does with them, from
github.com/decoderesearch/SAELens (sae_lens/saes and sae_lens/loading, version 6 unless
said otherwise):

- `b_dec` is subtracted before the encoder if `apply_b_dec_to_input`; before version 6
  that is the default.
- `architecture` names the activation; before version 6 it may be missing: `standard`.
  `standard` is ReLU. `jumprelu` keeps values above each latent's threshold, or above 0
  where that is negative; older files hold `log_threshold`. `topk` keeps the `k` largest
  of each activation, if they are positive; before version 6, `activation_fn_str` and
  `activation_fn_kwargs` say so.
- `rescale_acts_by_decoder_norm` (`topk`): values are multiplied by the norms of the
  decoder's rows before the largest are chosen, and the rows divided by them. Both are
  folded into our weights.
- BatchTopK is saved as `jumprelu`, with one threshold for all latents.
- `normalize_activations` may ask for activations that are normalised one by one
  (`layer_norm`, `constant_norm_rescale`), which no linear encoder can express, or by a
  factor that is not in the file (`expected_average_only_in`): we refuse both.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.sae.foreign_tensors import check_tensors
from vitproto.study.imported import SAELENS_CFG

_ARCHITECTURES = ("standard", "topk", "jumprelu")


def read_saelens(weights: Path, cfg: Path | None) -> SparseAutoencoder:
    """Read an autoencoder.

    Args:
        weights: a `sae_weights.safetensors`.
        cfg: the `cfg.json` that SAELens wrote beside it.

    Raises:
        ValueError: a file is missing, damaged or inconsistent, or we cannot evaluate
            the autoencoder.
    """
    settings = _read_cfg(cfg, weights)
    tensors = _read_weights(weights)
    architecture = _find_architecture(settings, cfg)
    if "log_threshold" in tensors:
        tensors["threshold"] = tensors.pop("log_threshold").exp()
    _check_normalisation(settings, tensors, cfg)
    n_latents, width = (_count(settings, key, cfg) for key in ("d_sae", "d_in"))
    shapes = {
        "W_enc": (width, n_latents),
        "b_enc": (n_latents,),
        "W_dec": (n_latents, width),
        "b_dec": (width,),
    }
    if architecture == "jumprelu":
        shapes["threshold"] = (n_latents,)
    # A latent with an infinite threshold is never active.
    check_tensors(tensors, shapes, weights, str(cfg), may_be_infinite={"threshold"})
    W_enc_SD = tensors["W_enc"].T.contiguous()
    b_enc_S, W_dec_SD, b_dec_D = (tensors[name] for name in ("b_enc", "W_dec", "b_dec"))
    if not _flag(settings, "apply_b_dec_to_input", True, cfg):
        # Ours always subtracts it, so add it.
        shift_S = W_enc_SD.double() @ b_dec_D.double()
        b_enc_S = (b_enc_S.double() + shift_S).float()
    if architecture == "topk" and _flag(
        settings, "rescale_acts_by_decoder_norm", False, cfg
    ):
        norm_S = W_dec_SD.norm(dim=1)
        if not (norm_S > 0).all():
            raise ValueError(
                f"W_dec in {weights} has a row of zeros, by whose norm {cfg} divides: "
                "choose another autoencoder"
            )
        W_enc_SD, b_enc_S = W_enc_SD * norm_S[:, None], b_enc_S * norm_S
        W_dec_SD = W_dec_SD / norm_S[:, None]
    threshold_S = tensors.get("threshold", torch.zeros(n_latents))
    return SparseAutoencoder(
        W_enc_SD=W_enc_SD,
        b_enc_S=b_enc_S,
        W_dec_SD=W_dec_SD,
        b_dec_D=b_dec_D,
        threshold_S=threshold_S.clamp(min=0),
        mean_D=torch.zeros(width),
        norm=1.0,
        l0=_count(settings, "k", cfg) if architecture == "topk" else None,
    )


def _read_cfg(cfg: Path | None, weights: Path) -> dict[str, Any]:
    if cfg is None or not cfg.is_file():
        raise ValueError(
            f"{weights} was saved by SAELens, but there is no {SAELENS_CFG} beside it, "
            "which says how it is read: copy both files"
        )
    try:
        settings = json.loads(cfg.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON, or of UTF-8
        raise ValueError(f"{cfg} is damaged ({error}): copy it again") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{cfg} is no {SAELENS_CFG} of SAELens: it holds no section")
    return _read_old(settings, cfg)


def _read_old(settings: dict[str, Any], cfg: Path) -> dict[str, Any]:
    """Read the activation as versions before 6 wrote it."""
    name = settings.get("activation_fn_str", settings.get("activation_fn", "relu"))
    if name == "relu":
        return settings
    kwargs = settings.get("activation_fn_kwargs") or {}
    if name != "topk" or not isinstance(kwargs, dict):
        raise ValueError(
            f"{cfg} says the activation {name!r} with {kwargs!r}: this version of "
            "vitproto evaluates relu, and topk with k"
        )
    return {**settings, "architecture": "topk", **kwargs}


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}: write its path")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): copy it again") from error
    return {name: tensor.float().contiguous() for name, tensor in tensors.items()}


def _find_architecture(settings: Mapping[str, Any], cfg: Path | None) -> str:
    architecture = settings.get("architecture", "standard")
    if architecture in _ARCHITECTURES:
        return architecture
    remedy = "choose another autoencoder"
    if "batchtopk" in str(architecture):
        remedy = "save it by save_inference_model, which writes its threshold"
    raise ValueError(
        f"{cfg} says architecture {architecture!r}: this version of vitproto evaluates "
        f"{', '.join(_ARCHITECTURES)}: {remedy}"
    )


def _check_normalisation(
    settings: Mapping[str, Any], tensors: dict[str, Tensor], cfg: Path | None
) -> None:
    normalisation = settings.get("normalize_activations") or "none"
    if normalisation is True or normalisation == "expected_average_only_in":
        raise ValueError(
            f"{cfg} says normalize_activations {normalisation!r}: the factor is not in "
            "the file: fold it into the weights with SAELens "
            "(fold_activation_norm_scaling_factor), and save them again"
        )
    if normalisation != "none":
        raise ValueError(
            f"{cfg} says normalize_activations {normalisation!r}, which is done to "
            "each activation by itself: this version of vitproto evaluates none"
        )
    reshaped = settings.get("reshape_activations") or "none"
    if reshaped != "none":
        raise ValueError(
            f"{cfg} says reshape_activations {reshaped!r}: it takes activations of "
            "attention heads, which vitproto does not record"
        )
    factor_S = tensors.pop("scaling_factor", None)
    if settings.get("finetuning_scaling_factor") and factor_S is not None:
        raise ValueError(
            f"{cfg} says finetuning_scaling_factor: this version of vitproto evaluates "
            "autoencoders without it"
        )


def _flag(
    settings: Mapping[str, Any], key: str, default: bool, cfg: Path | None
) -> bool:
    value = settings.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} in {cfg} is {value!r}, neither true nor false")
    return value


def _count(settings: Mapping[str, Any], key: str, cfg: Path | None) -> int:
    value = settings.get(key)
    if type(value) is not int or value < 1:
        raise ValueError(f"{key} in {cfg} is {value!r}, not an integer of at least 1")
    return value
