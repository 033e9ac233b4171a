"""A file of another family in place of a stage's own is refused.

Both families have runs of the same names, and files of the same shapes.
"""

import os
import re
import subprocess

import pytest
from study_copy import environment, find, snakemake

RANDOM, GAUSSIAN = "tiny-vit/layer3/random", "tiny-vit/layer3/gaussian"


def swap(workdir, template):
    """Each of two families gets the file of the other."""
    ours, theirs = (
        workdir / find(workdir, template.format(family))
        for family in (RANDOM, GAUSSIAN)
    )
    aside = ours.with_name("aside")
    os.replace(ours, aside)
    os.replace(theirs, ours)
    os.replace(aside, theirs)


def command(workdir, rule, target):
    """What a rule runs, without its log."""
    shown = snakemake(
        *(workdir, target, "-n", "-p", "--configfile", "tiny.yaml"),
        *("--forcerun", rule),
    )
    commands = re.findall(
        r"^Shell command: (.*?) \\\n +>", shown.stdout, re.MULTILINE | re.DOTALL
    )
    (command,) = [
        text for text in commands if f"scripts/{rule}.py" in text and target in text
    ]
    return command


def run(workdir, text):
    return subprocess.run(
        text,
        shell=True,
        cwd=workdir,
        env=environment(workdir),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("rule", "target", "swapped", "sentence"),
    [
        (
            "select_prototypes",
            f"results/tiny/{RANDOM}/ap.csv",
            "results/scores/tiny/{}/*/scores.h5",
            "select_prototypes: {read} is another "
            "family's: it says method gaussian, expected method random: delete it and "
            "score the images again",
        ),
        (
            "score_images",
            f"results/scores/tiny/{GAUSSIAN}/*/scores.h5",
            "results/tiny/{}/checkpoints.json",
            "score_images: {read} is another "
            "family's: it says method random, expected method gaussian: delete it and "
            "run again",
        ),
        (
            "tabulate_map",
            "results/tiny/map_table.md",
            "results/tiny/{}/ap.csv",
            None,
        ),
    ],
)
def test_the_stage_names_the_file_of_another_family(
    workdir, rule, target, swapped, sentence
):
    target = find(workdir, target)
    family = GAUSSIAN if GAUSSIAN in target else RANDOM
    read = find(workdir, swapped.format(family))
    text = command(workdir, rule, target)
    kept = (workdir / target).read_bytes()
    swap(workdir, swapped)
    done = run(workdir, text)
    if sentence is None:  # each row says whose it is, so files may stand anywhere
        assert done.returncode == 0, done.stdout
    else:
        assert done.returncode == 1
        assert done.stdout.splitlines()[-1] == sentence.format(read=read)
        assert "Traceback" not in done.stdout
    assert (workdir / target).read_bytes() == kept


def test_tables_miss_the_family_whose_file_was_overwritten(workdir):
    target = "results/tiny/map_table.md"
    text = command(workdir, "tabulate_map", target)
    ap = workdir / f"results/tiny/{RANDOM}/ap.csv"
    rows = ap.read_text().splitlines(keepends=True)
    ap.write_text("".join(row for row in rows if ",random,16,,,1," not in row))
    done = run(workdir, text)
    assert done.returncode == 1
    sentence = "the table of AP lacks tiny-vit/layer3/random k16-seed1: give the files"
    assert sentence in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stdout
