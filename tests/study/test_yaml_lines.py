"""Problems name the line that says the key."""

from pathlib import Path

import pytest

from vitproto.study.yaml_lines import Lines

TEXT = """\
base: &base
  a: 1
  b: 2
derived:
  <<: *base
  b: 3
rows:
  - {29: [5, 6]}
"""


@pytest.fixture
def file(tmp_path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(TEXT)
    return file


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("base", "b"), 3),
        (("derived", "a"), 2),  # merged from base
        (("derived", "b"), 6),  # its own, which wins
        (("rows", 0, 29, 1), 8),
        (("derived", "missing"), 4),
    ],
)
def test_a_key_stands_in_its_line_also_where_yaml_merges_it(file, path, line):
    assert Lines.of_files([file]).find(path) == (file, line)


def test_of_several_files_the_last_that_says_a_key_is_named(file, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("derived: {b: 4}\n")
    lines = Lines.of_files([file, other])
    assert lines.find(("derived", "b")) == (other, 1)
    assert lines.find(("derived", "a")) == (file, 2)
    assert lines.place(("elsewhere",)) == "elsewhere"


def test_a_key_that_the_command_line_says_stands_there_and_not_in_a_file(file):
    lines = Lines.of_files([file], {"derived": {"b": "5"}, "rows": [1]})
    assert lines.place(("derived", "b")) == "--config: derived.b"
    assert lines.place(("rows", 0)) == "--config: rows.0"
    assert lines.place(("derived", "a")) == f"{file}:2: derived.a"
    assert lines.place(("derived",)) == f"{file}:4: derived"


def test_a_key_that_stands_twice_is_refused_but_not_one_that_yaml_merges(tmp_path):
    file = tmp_path / "twice.yaml"
    file.write_text(TEXT + "rows: []\n")
    with pytest.raises(ValueError, match=f"{file}:9: rows stands already in line 7"):
        Lines.of_files([file])
