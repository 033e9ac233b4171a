"""Tables that readers can sort and search: DataTables, which itables brings along."""

import base64
from importlib.resources import files

from markupsafe import Markup

_BUNDLE = files("itables") / "html"


def sortable(table_id: str) -> Markup:
    """The scripts and styles that make a table of a page sortable and searchable.

    All is written into the page, so it works offline. Without scripts the table is
    still there. A cell sorts by its `data-order`, where it has one.

    Args:
        table_id: the id of a table with a head.
    """
    script = base64.b64encode((_BUNDLE / "dt_bundle.js").read_bytes()).decode()
    style = (_BUNDLE / "dt_bundle.css").read_text(encoding="utf-8")
    return Markup(
        "<style>{}</style>\n"
        '<script type="module">\n'
        'const {{ ITable }} = await import("data:text/javascript;base64,{}");\n'
        'new ITable(document.getElementById("{}"), {{ paging: false, order: [] }});\n'
        "</script>"
    ).format(Markup(style), Markup(script), table_id)
