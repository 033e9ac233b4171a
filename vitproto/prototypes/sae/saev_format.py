"""Checkpoints of the saev project: `sae.pt`, read and written, never unpickled.

B activations, D width, S latents.

A file is one line of JSON, the header, and then a state dict as `torch.save` writes
it: `W_enc` (D × S), `b_enc`, `W_dec` (S × D), `b_dec` and, for BatchTopK of later
versions, the scalar `activation.threshold`. What the project's code does with them,
from github.com/OSU-NLP-Group/saev (src/saev/nn/modeling.py unless said otherwise):

- No `schema` (saev/nn.py at 03067f9; written until 2025-04-28): the header is the
  configuration itself, with `d_vit` and `exp_factor`. The activation is ReLU, and
  `b_dec` is subtracted before the encoder.
- Schema 1 has two forms. In the first `cls` names the activation, and `cfg` holds
  `d_vit`, `exp_factor` and `top_k`; `commit` is the short name of the commit at which
  the file was written, or "unknown" (5951e84 of 2025-04-28 to 65c5a2b of 2025-07-31).
  In the other `cfg.activation` names the activation by `cls` and `params`: no commit
  writes it, but 8d38c23 and later ones read it.
- Schemas 2 to 5: the latter form (written as 2 from 8d38c23, as 5 from 4b43976; 3
  and 4 as these two read them). `d_model` replaces `d_vit`, and `d_sae` replaces
  `exp_factor`; 5 nests the settings of losses in `params`, which we do not need.
- Schema 1's first form was written by code that subtracts `b_dec` before the encoder,
  but for the 12 commits of `NOT_SUBTRACTED`: e7ca004 stopped it on 2025-07-31 at 15:25
  (UTC-4), and 8d38c23 of 20:19 writes schema 2. So we subtract it unless the header
  names one of the 12, since that is how the file was trained; the project's later
  versions load it and do not.
- From schema 1's second form on nothing is subtracted before the encoder:
  f = activation(x · W_enc + b_enc) and x̂ = f · W_dec + b_dec. But until 654befb
  (2025-09-05) training with the Matryoshka objective subtracted `b_dec` all the same
  (`matryoshka_forward`), and no header tells the objective. For these, and for files
  written with changes that were not committed, `Reading` says otherwise.
- BatchTopK keeps values above the threshold learned in training, or above 0 if that is
  not positive (nn/activations.py at 59e3791). Without a threshold in the file, schema 2
  keeps the `top_k` largest of each activation (8603345), and others the largest of a
  whole batch (d991de3): there a latent depends on the rest of the batch, so we refuse
  the file.
- TopK keeps negative values too, if they are among the `top_k` largest. Our latents are
  never negative: we set these to 0.
- Rows of `W_dec` have unit norm if `normalize_w_dec` was set in training, but loading
  does not enforce it.

Files do not say how activations were scaled for the autoencoder. From 2024-11-19
(9d4cae4) on, that project's `Dataset` gave z = (x - mean) / norm by default: `mean` is
the mean of up to 2^19 random patches, a vector, and `norm` the mean length of x - mean,
divided by √D, a number. Training read these until 2025-06-19 (91fb38f; on the branch of
33f4c14 until 29d30b7 of 2025-07-23), and raw activations after; c6a4602 of 2025-07-17
took scaling out of `Dataset`, too. (It also clamped x to ±100,000, which activations do
not reach.) We assume raw activations, unless `Reading` gives the two values, and fold
our own scaling into the weights that we write. Latents and reconstructions stay the
same; rows of `W_dec` get another norm, so we write `normalize_w_dec` as false.
"""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitproto.activations.weights_file import reason_of
from vitproto.core.files import whole_file
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.sae.foreign_tensors import check_tensors

NEWEST = 5
"""The schema that we write. We read this and all earlier ones, and headers without."""

NOT_SUBTRACTED = frozenset(
    {
        *("e7ca004", "ab690dc", "fad9929", "795479b", "5056de4", "9f39cf8"),
        *("6845bc2", "5fee417", "ea2c9f5", "8aecac1", "f5d892c", "65c5a2b"),
    }
)
"""The commits that write schema 1 and do not subtract `b_dec` before the encoder."""

_N_DIGITS = 7
"""Those of a short commit in a header, at least."""
_LONGEST_HEADER = 1 << 20
_ACTIVATIONS = ("Relu", "TopK", "BatchTopK")
_CONFIG = "SparseAutoencoderConfig"
_THRESHOLD = "activation.threshold"


@dataclass(frozen=True)
class Reading:
    """What a `sae.pt` does not say, or says wrongly."""

    subtract_b_dec_before_encoding: bool | None = None
    """Whether the encoder takes x - `b_dec`; None: what its header implies."""
    mean: Path | None = None
    """A file of `torch.save` with the mean that was subtracted from activations; None:
    0."""
    norm: float | None = None
    """The number by which they were divided then; None: 1."""


AS_THE_HEADER_SAYS = Reading()


def read_saev(path: Path, reading: Reading = AS_THE_HEADER_SAYS) -> SparseAutoencoder:
    """Read a `sae.pt`.

    Args:
        path: the file.
        reading: what the file does not say.

    Raises:
        ValueError: the file is missing, damaged, inconsistent or not a `sae.pt`, we
            cannot evaluate its activation, or the mean does not go with it.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: write the path of a sae.pt")
    with path.open("rb") as file:
        header = _parse_header(file.readline(_LONGEST_HEADER), path)
        weights = _load_weights(BytesIO(file.read()), path)
    _check_weights(weights, header, path)
    threshold, l0 = _kept(weights, header, path)
    if reading.norm is not None and not 0 < reading.norm < math.inf:
        raise ValueError(f"scaling: norm is {reading.norm}: write a number above 0")
    W_enc_SD = weights["W_enc"].T.contiguous()
    b_enc_S, b_dec_D = weights["b_enc"], weights["b_dec"]
    is_subtracted = reading.subtract_b_dec_before_encoding
    if is_subtracted is None:
        is_subtracted = header.subtracts_b_dec
    _log_reading(path, header, reading, is_subtracted)
    if not is_subtracted:  # ours always subtracts it, so add it
        shift_S = W_enc_SD.double() @ b_dec_D.double()
        b_enc_S = (b_enc_S.double() + shift_S).float()
    return SparseAutoencoder(
        W_enc_SD=W_enc_SD,
        b_enc_S=b_enc_S,
        W_dec_SD=weights["W_dec"],
        b_dec_D=b_dec_D,
        mean_D=_read_mean(reading.mean, header.width, path),
        norm=1.0 if reading.norm is None else reading.norm,
        threshold_S=torch.full((header.n_latents,), threshold),
        l0=l0,
    )


def write_saev(path: Path, sae: SparseAutoencoder) -> None:
    """Write a `sae.pt` of the newest schema, for raw activations.

    Args:
        path: the file, written completely or not at all.
        sae: one that ReLU, TopK or BatchTopK of the saev project can express.

    Raises:
        ValueError: its activation cannot be expressed.
    """
    low, high = sae.threshold_S.min().item(), sae.threshold_S.max().item()
    if low < high:
        raise ValueError(
            "a sae.pt can hold ReLU, TopK or one threshold for all latents, but this "
            f"autoencoder has thresholds from {low:g} to {high:g}, as JumpReLU has: "
            "export another autoencoder"
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
    elif high > 0:
        # `top_k` only matters in training; that project fills in its default.
        activation = {"cls": "BatchTopK", "params": {}}
        state[_THRESHOLD] = torch.tensor(high)
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
    """The parts of a header that we need, in any schema."""

    schema: int | None
    width: int
    n_latents: int
    activation: str
    params: Mapping[str, Any]
    """The settings of the activation."""
    is_named_by_cls: bool
    """Whether it is of schema 1's first form."""
    commit: str
    """The commit at which the file was written; "unknown" if the header lacks it."""

    @property
    def subtracts_b_dec(self) -> bool:
        """Whether the code at this commit subtracts `b_dec` before the encoder."""
        if self.schema is None:
            return True
        return self.is_named_by_cls and self.commit[:_N_DIGITS] not in NOT_SUBTRACTED

    def __str__(self) -> str:
        if self.schema is None:
            return "no schema"
        return f"schema {self.schema}, commit {self.commit}"


def _parse_header(line: bytes, path: Path) -> _Header:
    try:
        header = json.loads(line)
    except ValueError:  # not JSON, or not even text
        header = None
    if not isinstance(header, dict):
        raise ValueError(
            f"{path} is not a sae.pt of the saev project: its first line is not a JSON "
            "header"
        )
    schema = header.get("schema")
    if schema not in (None, *range(1, NEWEST + 1)):
        raise ValueError(
            f"{path} has the unknown schema {schema!r}: this version of vitproto reads "
            f"1 to {NEWEST}, and headers without one"
        )
    cfg = header if schema is None else _section(header, "cfg", path)
    is_named_by_cls = schema == 1 and header.get("cls", _CONFIG) != _CONFIG
    if schema is None:
        activation, params = "Relu", {}
    elif is_named_by_cls:
        activation, params = header["cls"], cfg
    else:
        named = _section(cfg, "activation", path)
        activation, params = named.get("cls"), _section(named, "params", path)
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"{path} has the unknown activation {activation!r}: this version of "
            f"vitproto evaluates {', '.join(_ACTIVATIONS)}"
        )
    width = _count(cfg, "d_model" if "d_model" in cfg else "d_vit", path)
    if "d_sae" in cfg:
        n_latents = _count(cfg, "d_sae", path)
    else:
        n_latents = width * _count(cfg, "exp_factor", path)
    return _Header(
        *(schema, width, n_latents, activation, params, is_named_by_cls),
        commit=str(header.get("commit", "unknown")).lower(),
    )


def _log_reading(
    path: Path, header: _Header, reading: Reading, is_subtracted: bool
) -> None:
    is_said = reading.subtract_b_dec_before_encoding is not None
    logging.info(
        "%s: b_dec is %s before encoding, as %s",
        path,
        "subtracted" if is_subtracted else "not subtracted",
        "the study says" if is_said else f"its header says ({header})",
    )
    is_scaled = reading.mean is not None or reading.norm is not None
    if not is_scaled and (header.schema is None or header.is_named_by_cls):
        logging.info(
            "%s: many files of its age were trained on scaled activations; this one is "
            "read for raw ones, since the study gives no scaling",
            path,
        )


def _read_mean(file: Path | None, width: int, path: Path) -> Tensor:
    """The mean in a file of `torch.save`; zeros without one."""
    if file is None:
        return torch.zeros(width)
    remedy = "write the path of a tensor that torch.save wrote"
    if not file.is_file():
        raise ValueError(f"there is no file {file} with the mean for {path}: {remedy}")
    try:
        mean = torch.load(file, weights_only=True, map_location="cpu")
    # The error depends on which of torch's layers meets what is wrong.
    except Exception as error:
        raise ValueError(f"the mean in {file} cannot be read: {remedy}") from error
    if not isinstance(mean, Tensor) or tuple(mean.shape) != (width,):
        shape = tuple(mean.shape) if isinstance(mean, Tensor) else type(mean).__name__
        raise ValueError(
            f"the mean in {file} is {shape}, but {path} takes activations of width "
            f"{width}: write a tensor of shape {(width,)}"
        )
    if not mean.isfinite().all():
        raise ValueError(f"the mean in {file} has values that are NaN or infinite")
    return mean.detach().float()


def _section(within: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    if not isinstance(within.get(key), dict):
        raise ValueError(f"{path} is not a complete sae.pt: its header lacks {key}")
    return within[key]


def _count(within: Mapping[str, Any], key: str, path: Path) -> int:
    value = within.get(key)
    if type(value) is not int or value < 1:
        raise ValueError(
            f"{path} is not a valid sae.pt: {key} in its header is {value!r}, not an "
            "integer of at least 1"
        )
    return value


def _load_weights(payload: BytesIO, path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(payload, weights_only=True, map_location="cpu")
    # The error depends on which of torch's layers meets the damage.
    except Exception as error:
        raise ValueError(
            f"the weights in {path} cannot be read ({reason_of(error)}): the file is "
            "damaged, or holds objects other than tensors, which we never load"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise ValueError(f"the weights in {path} are not a state dict of tensors")
    # A transposed tensor is saved as such, and a checkpoint cannot hold one.
    return {name: kept.detach().float().contiguous() for name, kept in state.items()}


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
    said_by = f"its header (width {width}, {n_latents} latents)"
    check_tensors(weights, shapes, path, said_by)


def _kept(
    weights: Mapping[str, Tensor], header: _Header, path: Path
) -> tuple[float, int | None]:
    """The threshold, and TopK's number of latents."""
    if _THRESHOLD in weights:
        return max(0.0, float(weights[_THRESHOLD])), None
    if header.activation == "Relu":
        return 0.0, None
    if header.activation == "BatchTopK" and header.schema != 2:
        raise ValueError(
            f"{path} has the activation BatchTopK, but no {_THRESHOLD}: its latents "
            "depend on the batch, so it cannot be evaluated"
        )
    return 0.0, _count(header.params, "top_k", path)
