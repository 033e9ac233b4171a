"""The documents name files that exist."""

import re

import pytest

from vitproto.core.project import PROJECT

DOCUMENTS = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "config/README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
]

OURS = ("vitproto", "scripts", "workflow", "tests", "config", "docs", "profiles")
"""Folders whose files are part of the project; results, for instance, are made."""


def links(text):
    """Relative targets of links and images, without anchors."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            yield target.partition("#")[0]


def quoted_paths(text):
    """Paths of files of ours in backticks, such as `vitproto/core/files.py`."""
    suffix = r"\.(?:py|md|smk|yaml|yml|toml|txt|jinja|sh)"
    inline = re.sub(r"^    .*$|```.*?```", "", text, flags=re.MULTILINE | re.DOTALL)
    for quoted in re.findall(r"`([^`\n]+)`", inline):
        for path in re.findall(rf"(?<![\w/.{{}}])[\w./-]+{suffix}\b", quoted):
            if path.startswith(tuple(f"{folder}/" for folder in OURS)):
                yield path


def quoted_names(text):
    """Names of modules in backticks without their folder, such as `bytecode.py`."""
    return re.findall(r"`([a-z_0-9]+\.(?:py|smk))`", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_a_document_exists(document):
    text = document.read_text(encoding="utf-8")
    missing = [link for link in links(text) if not (document.parent / link).exists()]
    missing += [path for path in quoted_paths(text) if not (PROJECT / path).exists()]
    modules = {
        file.name
        for folder in OURS
        for file in (PROJECT / folder).rglob("*.*")
        if file.suffix in (".py", ".smk")
    }
    missing += [name for name in quoted_names(text) if name not in modules]
    assert not missing, f"{document.relative_to(PROJECT)} names what is not there"


def test_paths_in_links_and_in_backticks_are_seen():
    text = (
        "See [a](docs/a.md#part), ![b](images/b.png) and [web](https://x.org/c.md).\n"
        "`vitproto/d.py`, `python scripts/e.py -h`, not `results/f.md`; `g.py`.\n"
    )
    assert list(links(text)) == ["docs/a.md", "images/b.png"]
    assert list(quoted_paths(text)) == ["vitproto/d.py", "scripts/e.py"]
    assert quoted_names(text) == ["g.py"]


def test_where_to_start_names_ten_files():
    text = (PROJECT / "docs/where_to_start.md").read_text(encoding="utf-8")
    files = re.findall(r"^\d+\. \[`([^`]+)`\]\(\.\./([^)]+)\)", text, re.MULTILINE)
    assert len(files) == 10
    assert all(name == target for name, target in files)
