"""A study that cannot be read is refused in one sentence that names its file."""

import subprocess
import sys

import pytest

from vitproto.study.read_study import read_study


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "study.yaml not found: name a study's file, such as config/demo"),
        ("study: [a\nb: c\n", "study.yaml:2: cannot read this as YAML: "),
        ("# mine\n", "study.yaml holds nothing where `key: value` is needed"),
        ("- a\n", "study.yaml holds a list where `key: value` is needed"),
        ("\x00", "study.yaml: cannot read this as YAML: "),
        ("study: mine\n", "study.yaml:1: the study: lacks dataset, "),
    ],
)
def test_a_file_that_holds_no_study_is_named(tmp_path, text, message):
    file = tmp_path / "study.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=".") as caught:
        read_study(file)
    (line,) = str(caught.value).splitlines()
    assert f"{tmp_path}/{message}" in line


def test_a_folder_is_no_study(tmp_path):
    with pytest.raises(ValueError, match=f"cannot read {tmp_path}: .*directory"):
        read_study(tmp_path)


def test_to_read_a_study_needs_no_torch():
    code = "import sys, vitproto.study.read_study; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
