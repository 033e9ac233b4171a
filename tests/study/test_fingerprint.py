"""A stage's fingerprint changes when, and only when, its code does."""

import ast
import shutil

import pytest

from vitproto.cli import PROJECT
from vitproto.study.fingerprint import fingerprint, import_closure


@pytest.fixture
def project(tmp_path):
    """A copy of the project's code, free to be edited."""
    shutil.copytree(PROJECT / "vitproto", tmp_path / "vitproto")
    shutil.copytree(PROJECT / "scripts", tmp_path / "scripts")
    return tmp_path


def stages():
    return sorted(file.stem for file in (PROJECT / "scripts").glob("*.py"))


def changed_by(project, edit):
    """Which stages' fingerprints does an edit change?"""
    before = {stage: fingerprint(stage, project) for stage in stages()}
    edit()
    return {s for s in before if fingerprint(s, project) != before[s]}


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_copy_elsewhere_has_the_same_fingerprints(project):
    for stage in stages():
        assert fingerprint(stage, project) == fingerprint(stage)


def test_a_fix_in_the_trait_loader_leaves_activations_alone(project):
    file = project / "vitproto/data/cub200_traits.py"
    changed = changed_by(project, lambda: file.write_text(file.read_text() + "\nX = 1"))
    assert changed == {"read_traits"}


def test_a_fix_in_the_ap_kernel_reaches_selection_only(project):
    file = project / "vitproto/traits/average_precision.py"
    changed = changed_by(project, lambda: file.write_text(file.read_text() + "\nX = 1"))
    assert changed == {"select_prototypes", "train_demo_encoder"}


def test_a_fix_in_the_shard_writer_reaches_all_that_read_or_write_shards(project):
    file = project / "vitproto/activations/shards.py"
    changed = changed_by(project, lambda: file.write_text(file.read_text() + "\nX = 1"))
    fitters = {"fit_random", "fit_gaussian", "fit_kmeans", "fit_pca"}
    readers = {*fitters, "score_images", "show_features"}
    assert changed == {"record_activations"} | readers


def test_comments_docstrings_formatting_and_new_dates_change_nothing(project):
    def edit():
        for file in project.rglob("*.py"):
            text = file.read_text()
            tree = ast.parse(text)
            if ast.get_docstring(tree):
                first = tree.body[0]
                lines = text.splitlines()[first.end_lineno :]
                text = '"""Another docstring."""\n' + "\n".join(lines) + "\n"
            file.write_text(text + "\n\n\n# a comment\n")

    assert changed_by(project, edit) == set()


def test_help_texts_under_fields_change_nothing_but_fields_do(project):
    file = project / "vitproto/activations/encoder.py"

    def reword():
        replace(file, "Side of the square of pixels", "Edge of the square of pixels")

    assert changed_by(project, reword) == set()
    changed = changed_by(
        project, lambda: replace(file, "n_blocks: int", "n_blocks: float")
    )
    assert "record_activations" in changed


def test_a_data_file_that_a_module_names_counts(project):
    stage = project / "scripts/list_cub200.py"
    file = project / "scripts/facts.txt"
    file.write_text("1")
    stage.write_text(stage.read_text() + "\nFACTS = 'facts.txt'\n")
    assert file in import_closure(stage, project)
    assert changed_by(project, lambda: file.write_text("2")) == {"list_cub200"}


def test_packages_hold_nothing_that_a_fingerprint_would_miss():
    """`import vitproto.a.b` runs `vitproto/a/__init__.py`, which does not count."""
    for file in (PROJECT / "vitproto").rglob("__init__.py"):
        for node in ast.parse(file.read_text()).body:
            text = ast.unparse(node)
            is_docstring = isinstance(node, ast.Expr)
            is_import = isinstance(node, ast.ImportFrom)
            assert is_docstring or is_import or text.startswith("__all__ ="), file
