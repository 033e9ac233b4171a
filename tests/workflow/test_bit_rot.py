"""A bit that flips in a stored file stops the job that reads it; the advice works."""

import json
import re
import time

import h5py
import pytest
from study_copy import TARGETS, find, snakemake

from vitproto.activations.shards import read_shard

FAMILY = "results/tiny/tiny-vit/layer3/topk"
SHARDS = "results/activations/tiny_birds/*/*/shard-00001-of-00002.h5"
CHECKPOINTS = "results/checkpoints/tiny_corpus/tiny-vit/layer3/topk/k*.safetensors"
SCORES = "results/scores/tiny/tiny-vit/layer3/topk/*/scores.h5"


def first_table(path):
    with h5py.File(path) as file:
        (run, *_) = (name for name in file if name != "image_ids")
        return file[f"{run}/scores_NK"].id.get_offset()


ALL = (*TARGETS, "--configfile", "tiny.yaml")
DAMAGES = {
    "a shard": (SHARDS, lambda path: int(read_shard(path, 3).offset_N[-1])),
    "a checkpoint": (CHECKPOINTS, lambda path: path.stat().st_size - 9),
    "scores": (SCORES, first_table),
}
"""The files, and the byte in which a bit flips."""


def let_dates_say_nothing(workdir, damaged):
    """A file whose dates change is compared with its note, and would be made again."""
    digests = workdir / "results/data/.digests.json"
    known = json.loads(digests.read_text())
    stat = damaged.stat()
    dates = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    for name, entry in known["files"]:
        if name == str(damaged):
            entry[0] = dates
    digests.write_text(json.dumps(known))


@pytest.mark.parametrize("what", DAMAGES)
def test_the_advice_of_the_message_works_when_followed_literally(
    workdir, finished, what
):
    pattern, place = DAMAGES[what]
    damaged = sorted(workdir.glob(pattern))[0]
    good = damaged.read_bytes()
    assert "Nothing to be done" in snakemake(workdir, *ALL, "-n").stdout
    content = bytearray(good)
    content[place(damaged)] ^= 1
    damaged.write_bytes(content)
    let_dates_say_nothing(workdir, damaged)
    table = f"{FAMILY}/ap.csv"
    (workdir / table).unlink()
    if what != "scores":
        (workdir / find(workdir, SCORES)).unlink()
    command = (table, "--configfile", "tiny.yaml")

    shown = snakemake(workdir, *command)
    assert shown.returncode != 0, shown.stdout
    assert not (workdir / table).exists()
    name = str(damaged.relative_to(workdir))
    said = [line for line in shown.stdout.splitlines() if name in line]
    said = [line for line in said if "is damaged" in line]
    assert said, shown.stdout
    assert re.search("[Dd]elete it", said[-1])

    damaged.unlink()
    if "checkpoints.json" in said[-1]:
        (workdir / f"{FAMILY}/checkpoints.json").unlink()
    shown = snakemake(workdir, *command)
    assert shown.returncode == 0, shown.stdout
    assert damaged.read_bytes() == good
    assert (workdir / table).read_bytes() == (finished / table).read_bytes()


TEXTS = {
    "AP": (f"{FAMILY}/ap.csv", "results/tiny/map_table.md"),
    "a list of checkpoints": (f"{FAMILY}/checkpoints.json", f"{FAMILY}/latents.h5"),
    "a training log": (f"{FAMILY}/training.csv", f"{FAMILY}/latents.h5"),
    "traits": ("results/tiny/tiny_birds.traits.npz", f"{FAMILY}/ap.csv"),
}
"""Files without checksums of their own, and a result that is made from each."""


@pytest.mark.parametrize("what", TEXTS)
def test_tables_and_lists_that_are_not_what_was_written_are_named(
    workdir, finished, what
):
    """A digit that turned into another one cannot be seen in a table itself."""
    name, made_from_it = TEXTS[what]
    damaged = workdir / name
    good = damaged.read_bytes()
    time.sleep(2.1)  # digests of files that have just changed are not kept
    assert "Nothing to be done" in snakemake(workdir, *ALL, "-n").stdout
    content = bytearray(good)
    place = max(content.rfind(digit) for digit in b"0123456789")
    content[place] ^= 1
    damaged.write_bytes(content)
    let_dates_say_nothing(workdir, damaged)
    (workdir / made_from_it).unlink()
    command = (made_from_it, "--configfile", "tiny.yaml")

    shown = snakemake(workdir, *command)
    assert shown.returncode != 0, shown.stdout
    assert not (workdir / made_from_it).exists()
    assert "Traceback" not in shown.stdout
    said = [line for line in shown.stdout.splitlines() if name in line]
    said = [line for line in said if "Delete it and run the same command again" in line]
    assert said, shown.stdout

    damaged.unlink()
    shown = snakemake(workdir, *command)
    assert shown.returncode == 0, shown.stdout
    assert damaged.read_bytes() == good
    assert (workdir / made_from_it).read_bytes() == (
        finished / made_from_it
    ).read_bytes()
