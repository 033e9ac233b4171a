"""`make runs`, `make plan` and `make stale` end in words, whatever their CONFIG is."""

import subprocess
import sys

import pytest

from vitproto.core.project import PROJECT

SEEDS = (0, 1, 2)


def script(name: str, config: object) -> list[str]:
    return [sys.executable, str(PROJECT / f"scripts/{name}.py"), str(config)]


def test_every_run_is_listed():
    shown = subprocess.run(
        script("list_runs", PROJECT / "config/demo_scenes.yaml"),
        capture_output=True,
        text=True,
        check=True,
    )
    names = [line.split() for line in shown.stdout.split("\n\n")[0].splitlines()]
    assert names == [
        ["encoder", "layer", "method", "run"],
        *(
            ["tiny-vit", "3", "relu", f"k512-lr0.03-sparsity0.27-seed{i}"]
            for i in SEEDS
        ),
        *(["tiny-vit", "2", "topk", f"k512-lr0.01-sparsity8-seed{i}"] for i in SEEDS),
        *(["tiny-vit", "3", "topk", f"k512-lr0.01-sparsity8-seed{i}"] for i in SEEDS),
        *(["tiny-vit", "3", "untrained", f"k512-sparsity8-seed{i}"] for i in SEEDS),
    ]


@pytest.mark.parametrize("name", ["list_runs", "plan_study", "find_stale"])
@pytest.mark.parametrize("text", [None, "no study", "{"])
def test_a_file_that_is_no_study_is_named_in_one_sentence(tmp_path, name, text):
    config = tmp_path / "typo.yaml"
    if text is not None:
        config.write_text(text)
    shown = subprocess.run(script(name, config), capture_output=True, text=True)
    assert shown.returncode == 1
    assert shown.stdout == ""
    assert shown.stderr.startswith(f"{name}: ")
    assert str(config) in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_a_reader_that_has_enough_ends_the_list_without_a_word():
    config = PROJECT / "config/config.yaml"
    with subprocess.Popen(
        script("list_runs", config), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert b"encoder" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
