"""A page says which version and commit wrote it, if that is known."""

import hashlib
import subprocess

import pytest

from vitproto.core.project import PROJECT
from vitproto.pages.provenance import read_provenance

CITATION = """\
title: "a title: with a colon"
authors:
  - name: Ada
  - name: Bob
version: 1.2.3
date-released: 2031-05-06
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "CITATION.cff").write_text(CITATION)
    return tmp_path


def git(folder, *arguments):
    named = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", folder, *named, *arguments], check=True)


def test_version_citation_and_digests(project):
    file = project / "splits.csv"
    file.write_bytes(b"abc")
    found = read_provenance({"splits": file}, project)
    assert found.version == "1.2.3"
    assert found.citation == "Ada, Bob (2031). a title: with a colon. Version 1.2.3."
    assert found.digests == {"splits": hashlib.sha256(b"abc").hexdigest()}
    assert found.commit == ""


def test_the_commit_is_that_of_the_project_and_says_what_differs(project):
    git(project, "init", "-q")
    assert read_provenance({}, project).commit == ""  # nothing is committed yet
    git(project, "add", "CITATION.cff")
    git(project, "commit", "-qm", "first")
    (project / "untracked.txt").write_text("x")
    commit = read_provenance({}, project).commit
    assert len(commit) == 12
    (project / "CITATION.cff").write_text(CITATION + "\n")
    changed = read_provenance({}, project).commit
    assert changed == f"{commit}, with changes that are not committed"
    # A copy of the project below another repository is not that repository.
    inner = project / "copy"
    inner.mkdir()
    assert read_provenance({}, inner).commit == ""


def test_without_git_and_citation_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_provenance({}, tmp_path) == ("", "", "", {})


def test_the_project_cites_the_version_that_it_installs():
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{read_provenance({}).version}"\n' in text
