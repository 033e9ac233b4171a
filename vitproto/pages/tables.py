"""Tables that readers can sort and search: DataTables, which itables brings along."""

import base64
import json
from importlib.resources import files

from markupsafe import Markup

_BUNDLE = files("itables") / "html"


def sortable(*table_ids: str) -> Markup:
    """The scripts and styles that make tables of a page sortable and searchable.

    All is written into the page, so it works offline. Without scripts the tables are
    still there. A cell sorts by its `data-order`, where it has one.

    Args:
        table_ids: the ids of tables with a head.
    """
    script = base64.b64encode((_BUNDLE / "dt_bundle.js").read_bytes()).decode()
    style = (_BUNDLE / "dt_bundle.css").read_text(encoding="utf-8")
    return Markup(
        "<style>{}</style>\n"
        '<script type="module">\n'
        'const dark = matchMedia("(prefers-color-scheme: dark)");\n'
        'const paint = () => document.documentElement.classList.toggle("dark", '
        "dark.matches);\n"
        'dark.addEventListener("change", paint);\n'
        "paint();\n"
        'const {{ ITable }} = await import("data:text/javascript;base64,{}");\n'
        "for (const id of {})\n"
        "  new ITable(document.getElementById(id), {{ paging: false, order: [] }});\n"
        "</script>"
    ).format(Markup(style), Markup(script), Markup(json.dumps(table_ids)))
