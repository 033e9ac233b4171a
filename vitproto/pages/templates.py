"""Read templates of pages, and prepare drawings for them."""

import re
from pathlib import Path

import jinja2
from markupsafe import Markup

FRAME = Path(__file__).with_name("page_frame.html.jinja")
"""The document that templates extend as `page_frame`."""

PARTS = Path(__file__).with_name("page_parts.html.jinja")
"""Style and macros that templates import as `page_parts`."""

STRIPS = Path(__file__).with_name("image_strips.html.jinja")
"""Rows of images, which templates import as `image_strips`."""


def read_template(path: Path) -> jinja2.Template:
    """Read the template of a page. It escapes what it is given."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.DictLoader(
            {
                "page_frame": FRAME.read_text(encoding="utf-8"),
                "page_parts": PARTS.read_text(encoding="utf-8"),
                "image_strips": STRIPS.read_text(encoding="utf-8"),
            }
        ),
    )
    return environment.from_string(path.read_text(encoding="utf-8"))


def read_text_template(path: Path) -> jinja2.Template:
    """Read the template of a text that is no page, such as YAML: nothing is escaped."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    return environment.from_string(path.read_text(encoding="utf-8"))


def inline(svg: str, name: str) -> Markup:
    """Prepare a drawing for a page: no XML declaration, and ids of its own.

    Args:
        svg: an SVG document.
        name: a prefix for its ids, which no other drawing of the page has.

    Raises:
        ValueError: it is not an SVG document.
    """
    begin = svg.find("<svg")
    if begin < 0:
        raise ValueError(
            f"the chart of {name} is not an SVG document: give the .svg that its stage "
            "wrote"
        )
    drawing = re.sub(r'\bid="', f'id="{name}-', svg[begin:])
    return Markup(re.sub(r'(href="|url\()#', rf"\1#{name}-", drawing))
