"""All pages have the same document and style."""

from vitproto.core.project import PROJECT
from vitproto.pages.templates import read_template

TEMPLATES = sorted((PROJECT / "vitproto").rglob("*.html.jinja"))


def test_a_template_fills_the_frame_and_escapes_what_it_is_given(tmp_path):
    template = tmp_path / "page.html.jinja"
    template.write_text(
        '{% extends "page_frame" %}{% block main %}<p>{{ text }}</p>{% endblock %}'
    )
    page = read_template(template).render(heading="Why?", dataset="birds", text="<i>")
    assert page.startswith("<!doctype html>")
    assert "<title>birds: why?</title>" in page
    assert "<h1>Why? birds</h1>" in page
    assert "<p>&lt;i&gt;</p>" in page
    assert page.count("prefers-color-scheme: dark") == 1


def test_only_the_frame_is_a_whole_document():
    whole = [
        path.relative_to(PROJECT / "vitproto").as_posix()
        for path in TEMPLATES
        if "<!doctype" in path.read_text(encoding="utf-8")
    ]
    assert len(TEMPLATES) > 3
    assert whole == ["pages/page_frame.html.jinja"]


def test_only_one_module_loads_templates():
    loading = [
        path.relative_to(PROJECT / "vitproto").as_posix()
        for path in (PROJECT / "vitproto").rglob("*.py")
        if "jinja2" in path.read_text(encoding="utf-8")
    ]
    assert loading == ["pages/templates.py"]
