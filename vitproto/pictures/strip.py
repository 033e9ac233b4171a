"""Rows of images on pages, with heat-maps laid over them."""

from typing import NamedTuple

SCALE = (
    *("#000004", "#210c4a", "#57106e", "#8a226a", "#bc3754"),
    *("#e45a31", "#f98e09", "#f9cb35", "#fcffa4"),
)
"""The colours of heat-maps, from low to high; a test compares them with `COLORS`."""


class Thumbnail(NamedTuple):
    """A thumbnail, and the size of the image that it was made of, in pixels."""

    name: str
    """The name of its file."""
    width: int
    height: int
    image_size: tuple[int, int]


class Overlay(NamedTuple):
    """A heat-map with a pixel for each patch, and where it lies over its image.

    Positions and sizes are in percent of the image's width and height. Parts of the
    image that the encoder did not see are not covered; padding lies outside.
    """

    left: float
    top: float
    width: float
    height: float
    source: str
    """The heat-map as an address that holds a PNG."""


class StripImage(NamedTuple):
    """An image on a page."""

    image_id: str
    class_name: str
    """Empty where images have no classes."""
    thumbnail: Thumbnail
    shows: bool | None
    """Whether it shows the trait of the page; None if the page is about none."""
    score: str
    """Empty where nothing scores it."""
    overlay: Overlay | None


class Strip(NamedTuple):
    """A row of images."""

    heading: str
    images: list[StripImage]
