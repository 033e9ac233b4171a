"""What all pages of results share: how templates are read, and drawings in the page."""

import re
from pathlib import Path

import jinja2
from markupsafe import Markup

PARTS = Path(__file__).with_name("page_parts.html.jinja")
"""Style and macros that templates import as `page_parts`."""


def read_template(path: Path) -> jinja2.Template:
    """The template of a page; what users wrote is escaped in it."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.DictLoader({"page_parts": PARTS.read_text(encoding="utf-8")}),
    )
    return environment.from_string(path.read_text(encoding="utf-8"))


def inline(svg: str, name: str) -> Markup:
    """The drawing alone, with ids of its own: a page holds several.

    Without the XML declaration, which can stand only at the beginning of a file.

    Args:
        svg: an SVG document.
        name: what begins its ids.

    Raises:
        ValueError: it is none.
    """
    begin = svg.find("<svg")
    if begin < 0:
        raise ValueError(
            f"the chart of {name} is not an SVG document: give the .svg that its stage "
            "wrote"
        )
    drawing = re.sub(r'\bid="', f'id="{name}-', svg[begin:])
    return Markup(re.sub(r'(href="|url\()#', rf"\1#{name}-", drawing))
