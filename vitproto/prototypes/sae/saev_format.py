"""Checkpoints of the saev project: `sae.pt`, read and written, never unpickled.

B activations, D width, S latents.

A file is one line of JSON, the header, and then a state dict as `torch.save` writes
it: `W_enc` (D × S), `b_enc`, `W_dec` (S × D), `b_dec` and, for BatchTopK of later
versions, the scalar `activation.threshold`. What the project's code does with them,
from github.com/OSU-NLP-Group/saev (src/saev/nn/modeling.py unless said otherwise):

- No `schema` (theonlyladybug/saev, which holds the same early history, saev/nn.py at
  03067f9): the header is the configuration itself, with `d_vit` and `exp_factor`. The
  activation is ReLU, and `b_dec` is subtracted before the encoder. So it is here: it
  was trained that way, although later versions (027f95a) load it without.
- Schema 1 has two forms. In the first `cls` names the activation, and `cfg` holds
  `d_vit`, `exp_factor` and `top_k` (d991de3); in the other `cfg.activation` names it by
  `cls` and `params` (00d07b7 reads both).
- Schemas 2 to 5: the latter form (written as 2: 8603345, as 5: 4b43976 and 027f95a; 3
  and 4 as these two read them). `d_vit` becomes `d_model`, and `d_sae` takes the place
  of `exp_factor`; 5 nests the settings of losses in `params`, which do not matter here.
- From schema 1's second form on nothing is subtracted before the encoder:
  f = activation(x · W_enc + b_enc) and x̂ = f · W_dec + b_dec. Schema 1's first form was
  written by code that subtracts `b_dec` (d991de3) and by later code that does not, and
  its header does not tell which. It is read as the project's later versions read it:
  without.
- BatchTopK keeps what is above the threshold that it learned in training, or above 0 if
  that is not positive (nn/activations.py at 59e3791). Without a threshold in the file
  it kept the `top_k` largest of each activation in schema 2 (8603345), and elsewhere
  the largest of a whole batch (d991de3): those latents are no function of an
  activation, so such a file is refused.
- TopK also keeps what is negative among the `top_k` largest. Our latents are never
  negative: those are 0 here.
- Rows of `W_dec` have unit norm while `normalize_w_dec` trains, but loading enforces
  nothing.

No file says how activations were scaled before they reached the autoencoder. So a file
is taken to be about activations as the encoder gives them, and our own scaling is
folded into the weights that we write. Both latents and reconstruction stay what they
are; rows of `W_dec` then have another norm, and `normalize_w_dec` says so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitproto.core.files import whole_file
from vitproto.prototypes.autoencoder import SparseAutoencoder

NEWEST = 5
"""The schema that is written. All from 1 on are read, and headers without one."""

_LONGEST_HEADER = 1 << 20
_ACTIVATIONS = ("Relu", "TopK", "BatchTopK")
_CONFIG = "SparseAutoencoderConfig"
_THRESHOLD = "activation.threshold"


def read_saev(path: Path) -> SparseAutoencoder:
    """Read a `sae.pt`, ready to score raw activations.

    Raises:
        ValueError: the file is none, is damaged, contradicts itself, or is of a kind
            that cannot be evaluated.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: write the path of a sae.pt")
    with path.open("rb") as file:
        header = _parse_header(file.readline(_LONGEST_HEADER), path)
        weights = _load_weights(BytesIO(file.read()), path)
    _check_weights(weights, header, path)
    threshold, l0 = _kept(weights, header, path)
    W_enc_SD = weights["W_enc"].T.contiguous()
    b_enc_S, b_dec_D = weights["b_enc"], weights["b_dec"]
    if header.schema is not None:  # b_dec is not subtracted; ours is, so add it
        shift_S = W_enc_SD.double() @ b_dec_D.double()
        b_enc_S = (b_enc_S.double() + shift_S).float()
    return SparseAutoencoder(
        W_enc_SD=W_enc_SD,
        b_enc_S=b_enc_S,
        W_dec_SD=weights["W_dec"],
        b_dec_D=b_dec_D,
        mean_D=torch.zeros(header.width),
        norm=1.0,
        threshold=threshold,
        l0=l0,
    )


def write_saev(path: Path, sae: SparseAutoencoder) -> None:
    """Write a `sae.pt` of the newest schema that does the same on raw activations.

    Args:
        path: the file; it appears whole or not at all.
        sae: any that ReLU, TopK or BatchTopK of that project can express.

    Raises:
        ValueError: its activation cannot be expressed.
    """
    if sae.threshold < 0 or (sae.l0 is not None and sae.threshold != 0):
        raise ValueError(
            f"a sae.pt holds ReLU, TopK without a threshold or a positive threshold, "
            f"but not threshold {sae.threshold} with l0 {sae.l0}: it cannot be exported"
        )
    origin_D = sae.mean_D.double() / sae.norm + sae.b_dec_D.double()
    state = {
        "W_enc": (sae.W_enc_SD.double() / sae.norm).T,
        "b_enc": sae.b_enc_S.double() - sae.W_enc_SD.double() @ origin_D,
        "W_dec": sae.W_dec_SD.double() * sae.norm,
        "b_dec": sae.b_dec_D.double() * sae.norm + sae.mean_D.double(),
    }
    activation: dict[str, Any] = {"cls": "Relu", "params": {}}
    if sae.l0 is not None:
        activation = {"cls": "TopK", "params": {"top_k": sae.l0}}
    elif sae.threshold > 0:
        # `top_k` only matters in training; its default there fills it in.
        activation = {"cls": "BatchTopK", "params": {}}
        state[_THRESHOLD] = torch.tensor(sae.threshold)
    cfg = {
        "d_model": sae.width,
        "d_sae": sae.n_prototypes,
        "activation": activation,
        "remove_parallel_grads": False,
        "normalize_w_dec": False,
    }
    header = {"schema": NEWEST, "cfg": cfg, "commit": "unknown", "lib": "vitproto"}
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        weights = {name: v.float().cpu().contiguous() for name, v in state.items()}
        torch.save(weights, file)


@dataclass(frozen=True)
class _Header:
    """What matters of a header, whatever its form."""

    schema: int | None
    width: int
    n_latents: int
    activation: str
    params: Mapping[str, Any]
    """The settings of the activation."""


def _parse_header(line: bytes, path: Path) -> _Header:
    try:
        header = json.loads(line)
    except ValueError:  # text that is no JSON, or bytes that are no text
        header = None
    if not isinstance(header, dict):
        raise ValueError(
            f"{path} is no sae.pt of the saev project: its first line is no header in "
            "JSON"
        )
    schema = header.get("schema")
    if schema not in (None, *range(1, NEWEST + 1)):
        raise ValueError(
            f"{path} has schema {schema!r}, which this version of vitproto does not "
            f"know: it knows 1 to {NEWEST}, and headers without one"
        )
    cfg = header if schema is None else _section(header, "cfg", path)
    if schema is None:
        activation, params = "Relu", {}
    elif schema == 1 and header.get("cls", _CONFIG) != _CONFIG:
        activation, params = header["cls"], cfg
    else:
        named = _section(cfg, "activation", path)
        activation, params = named.get("cls"), _section(named, "params", path)
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"{path} has the activation {activation!r}, which cannot be evaluated: "
            f"known are {', '.join(_ACTIVATIONS)}"
        )
    width = _count(cfg, "d_model" if "d_model" in cfg else "d_vit", path)
    if "d_sae" in cfg:
        n_latents = _count(cfg, "d_sae", path)
    else:
        n_latents = width * _count(cfg, "exp_factor", path)
    return _Header(schema, width, n_latents, activation, params)


def _section(within: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    if not isinstance(within.get(key), dict):
        raise ValueError(f"{path} is no whole sae.pt: its header lacks {key}")
    return within[key]


def _count(within: Mapping[str, Any], key: str, path: Path) -> int:
    value = within.get(key)
    if type(value) is not int or value < 1:
        raise ValueError(
            f"{path} is no whole sae.pt: {key} in its header is {value!r}, not a whole "
            "number of at least 1"
        )
    return value


def _load_weights(payload: BytesIO, path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(payload, weights_only=True, map_location="cpu")
    # A damaged file fails in any of torch's layers, each with errors of its own.
    except Exception as error:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"the weights in {path} cannot be read ({first}): the file is damaged, or "
            "holds more than tensors, which is never opened"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise ValueError(f"the weights in {path} are no state dict of tensors")
    return {name: tensor.float() for name, tensor in state.items()}


def _check_weights(weights: Mapping[str, Tensor], header: _Header, path: Path) -> None:
    width, n_latents = header.width, header.n_latents
    shapes: dict[str, tuple[int, ...]] = {
        "W_enc": (width, n_latents),
        "b_enc": (n_latents,),
        "W_dec": (n_latents, width),
        "b_dec": (width,),
    }
    if header.activation == "BatchTopK" and _THRESHOLD in weights:
        shapes[_THRESHOLD] = ()
    if weights.keys() != shapes.keys():
        raise ValueError(
            f"{path} holds the tensors {', '.join(weights)}, but its header asks for "
            f"{', '.join(shapes)}"
        )
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise ValueError(
                f"{name} in {path} has shape {tuple(weights[name].shape)}, but its "
                f"header (width {width}, {n_latents} latents) says {shape}"
            )
        if not weights[name].isfinite().all():
            raise ValueError(
                f"{name} in {path} has values that are NaN or infinite: its training "
                "failed"
            )


def _kept(
    weights: Mapping[str, Tensor], header: _Header, path: Path
) -> tuple[float, int | None]:
    """Above which threshold, and how many of each activation, latents are kept."""
    if _THRESHOLD in weights:
        return max(0.0, float(weights[_THRESHOLD])), None
    if header.activation == "Relu":
        return 0.0, None
    if header.activation == "BatchTopK" and header.schema != 2:
        raise ValueError(
            f"{path} has the activation BatchTopK, but no {_THRESHOLD}: its latents "
            "depend on which activations share a batch, so it cannot be evaluated"
        )
    return 0.0, _count(header.params, "top_k", path)
