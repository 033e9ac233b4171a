"""Stand-in for part C: the blocks of an encoder after an edited one."""

from jaxtyping import Float, UInt8
from torch import Tensor

from vitproto.activations.encoder import Encoder


class Tail:
    def __init__(self, encoder: Encoder, layer: int, probe_layer: int):
        raise NotImplementedError

    def __call__(
        self, pixels_CHW: UInt8[Tensor, "3 h w"], edit_EPD: Float[Tensor, "e p d"]
    ) -> Float[Tensor, "e p d"]:
        raise NotImplementedError
