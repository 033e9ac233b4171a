"""Turn image files into an encoder's input, and locate its patches in the image."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from vitproto.activations.image_file import GreyRange, read_image

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


class Geometry(NamedTuple):
    """The geometry of an encoder's input: scale, then crop or pad.

    Attributes:
        width, height: size of the scaled image, in pixels.
        left, top: where the encoder's window begins in the scaled image;
            negative if the image is padded.
    """

    width: int
    height: int
    left: int
    top: int

    def to_image(
        self,
        x_E: Float64[np.ndarray, " e"],
        y_F: Float64[np.ndarray, " f"],
        width: int,
        height: int,
    ) -> tuple[Float64[np.ndarray, " e"], Float64[np.ndarray, " f"]]:
        """Map points of the encoder's window to a `width` × `height` image.

        Coordinates are distances from the left and upper edge in pixels: pixel i
        extends from i to i + 1. Points in padding lie outside the image.
        """
        return (
            (x_E + self.left) * (width / self.width),
            (y_F + self.top) * (height / self.height),
        )


@dataclass(frozen=True)
class Preprocessing:
    """How an encoder's input is made from an image, as in its training.

    `shortest` scales the shorter side to the window and crops the longer one,
    `squash` distorts the image into the window, `longest` pads the shorter side.

    Attributes:
        height, width: the encoder's window, in pixels.
        resize_mode: see above.
        crop_pct: `shortest` scales to the window divided by this, then crops.
        interpolation: how pixels are resampled.
        mean, std: subtracted from each colour channel, which is scaled to 0 to 1, and
            divided by.
        fill: the grey of padding, 0 to 255.
        grey_range, most_pixels: how image files are read, see `read_image`.
    """

    height: int
    width: int
    resize_mode: Literal["shortest", "squash", "longest"]
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_pct: float = 1.0
    fill: int = 0
    grey_range: GreyRange = "type"
    most_pixels: int | None = None

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """Parse the attribute `preprocessing` of a shard."""
        values = json.loads(text)
        values |= {key: tuple(values[key]) for key in ("mean", "std")}
        return cls(**values)

    def geometry(self, width: int, height: int) -> Geometry:
        """The geometry of the input for a `width` × `height` image.

        Rounds like torchvision's Resize and CenterCrop, with which published encoders
        were trained and tested.
        """
        if self.resize_mode == "squash":
            return Geometry(self.width, self.height, 0, 0)
        if self.resize_mode == "longest":
            ratio = max(height / self.height, width / self.width)
            scaled_w, scaled_h = round(width / ratio), round(height / ratio)
            # If the number of padded pixels is odd, the extra one comes last.
            left = -((self.width - scaled_w) // 2)
            top = -((self.height - scaled_h) // 2)
            return Geometry(scaled_w, scaled_h, left, top)
        shorter = math.floor(self.height / self.crop_pct)
        if width <= height:
            scaled_w, scaled_h = shorter, int(shorter * height / width)
        else:
            scaled_w, scaled_h = int(shorter * width / height), shorter
        left = round((scaled_w - self.width) / 2)
        top = round((scaled_h - self.height) / 2)
        return Geometry(scaled_w, scaled_h, left, top)

    def grid(self, n_patches: int) -> tuple[int, int]:
        """The rows and columns of patches in an image.

        Raises:
            ValueError: this number of patches does not form a grid in the window.
        """
        n_rows = round(math.sqrt(n_patches * self.height / self.width))
        n_columns = n_patches // max(1, n_rows)
        n_pixels = self.height // max(1, n_rows)
        if n_rows * n_columns != n_patches or n_pixels != self.width // n_columns:
            raise ValueError(
                f"{n_patches} patches form no grid of squares in a window of "
                f"{self.width} × {self.height} pixels: choose an encoder whose patches "
                "form a grid"
            )
        return n_rows, n_columns

    def patch_edges(
        self, n_patches: int, width: int, height: int
    ) -> tuple[Float64[np.ndarray, " e"], Float64[np.ndarray, " f"]]:
        """The edges of patches in a `width` × `height` image.

        Patch (row r, column c) extends from x[c] to x[c + 1] and from y[r] to y[r + 1],
        in the coordinates of `Geometry.to_image`. If the window's side is not a
        multiple of the patch's, the last pixels belong to no patch.

        Returns:
            One more edge than columns, and one more than rows.
        """
        n_rows, n_columns = self.grid(n_patches)
        x_E = np.arange(n_columns + 1.0) * (self.width // n_columns)
        y_F = np.arange(n_rows + 1.0) * (self.height // n_rows)
        return self.geometry(width, height).to_image(x_E, y_F, width, height)

    def apply(self, image: Image.Image) -> Image.Image:
        """The encoder's input as an image."""
        geometry = self.geometry(*image.size)
        scaled = image.resize(
            (geometry.width, geometry.height), _RESAMPLING[self.interpolation]
        )
        window = Image.new("RGB", (self.width, self.height), (self.fill,) * 3)
        window.paste(scaled, (-geometry.left, -geometry.top))
        return window

    def read_whole(self, path: Path) -> Image.Image:
        """Read an image file before it is scaled and cropped.

        Raises:
            ValueError: the file is missing, too large or not a complete image.
        """
        return read_image(path, self.grey_range, self.most_pixels)

    def read(self, path: Path) -> UInt8[np.ndarray, "3 h w"]:
        """Read an image file as input of the encoder, channels first, 0 to 255.

        Raises:
            ValueError: the file is missing, too large or not a complete image.
        """
        window = self.apply(self.read_whole(path))
        return np.ascontiguousarray(np.asarray(window).transpose(2, 0, 1))
