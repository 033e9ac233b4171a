"""Weights are fetched once, where Snakemake runs; no other job uses the network."""

import re
import shutil
import subprocess
from pathlib import Path

import h5py
import pytest
import yaml
from fake_hub import FakeHub, serve
from study_copy import PROJECT, copy_project, environment

from vitproto.study.addresses import of_activations

DEMO = PROJECT / "encoders/demo"
NAMES = ("open_clip_config.json", "open_clip_model.safetensors")
FETCHED = "results/weights/tiny-vit.json"
NOBODY = "http://127.0.0.1:9"
CONFIG = ("--configfile", "tiny.yaml", "--profile", "profiles/local")


def shards(workdir: Path) -> list[str]:
    """Where the activations of the birds lie."""
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    address = of_activations(study, "tiny_birds", "tiny-vit")
    folder = f"results/activations/tiny_birds/tiny-vit/{address}"
    return [f"{folder}/shard-{i:05d}-of-00003.h5" for i in range(3)]


def new_study(workdir: Path, **encoder) -> Path:
    """The tiny study with its encoder on the hub, its birds in three shards."""
    workdir.mkdir()
    copy_project(workdir)
    tiny = yaml.safe_load((PROJECT / "tests/workflow/tiny.yaml").read_text())
    tiny["datasets"]["tiny_birds"]["n_shards"] = 3
    tiny["encoders"]["tiny-vit"] |= {"model": "hf-hub:us/tiny", **encoder}
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    return workdir


@pytest.fixture
def hub():
    files = {name: (DEMO / name).read_bytes() for name in NAMES}
    with serve(FakeHub({"us/tiny": files})) as hub:
        yield hub


@pytest.fixture
def workdir(tmp_path) -> Path:
    return new_study(tmp_path / "copy")


def snakemake(workdir: Path, address: str, *args: str) -> tuple[int, str]:
    """Run it with a hub; its jobs but one still say that they are offline."""
    online = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"}
    shown = subprocess.run(
        ["snakemake", *args, *CONFIG],
        cwd=workdir,
        env={**environment(workdir), **online},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return shown.returncode, shown.stdout


def test_each_file_is_fetched_once_and_all_else_needs_no_hub(hub, workdir):
    status, said = snakemake(workdir, hub.address, *shards(workdir), "-n")
    assert status == 0, said
    assert (
        "Fetch tiny-vit: hf-hub:us/tiny (own), from the Hugging Face hub to "
        "results/weights/hub" in said
    )
    assert hub.n_requests == 0
    status, said = snakemake(workdir, hub.address, FETCHED)
    assert status == 0, said
    assert hub.downloads == {f"us/tiny/{name}": 1 for name in NAMES}
    status, said = snakemake(workdir, NOBODY, *shards(workdir)[:2])
    assert status == 0, said
    digests = set()
    for shard in shards(workdir)[:2]:
        with h5py.File(workdir / shard) as file:
            digests.add(file.attrs["weights_digest"])
    assert len(digests) == 1
    shutil.rmtree(workdir / "results/weights/hub")
    status, said = snakemake(workdir, NOBODY, shards(workdir)[2])
    assert status != 0
    assert "the encoder tiny-vit, hf-hub:us/tiny (own), lacks open_clip_con" in said
    assert f"fetch it again with `snakemake --cores 1 --force {FETCHED}`" in said
    assert not (workdir / shards(workdir)[2]).exists()
    status, said = snakemake(workdir, hub.address, "--force", FETCHED)
    assert status == 0, said
    status, said = snakemake(workdir, NOBODY, *shards(workdir))
    assert status == 0, said
    # The list has the same bytes as before, so the first two shards stayed.
    assert re.search(r"record_activations +1\n", said), said


def test_a_file_that_changes_at_the_hub_counts_once_it_is_fetched_again(hub, workdir):
    assert snakemake(workdir, hub.address, shards(workdir)[0])[0] == 0
    text = hub.repositories["us/tiny"][NAMES[0]].decode()
    hub.repositories["us/tiny"][NAMES[0]] = text.replace("squash", "longest").encode()
    assert (
        "Nothing to be done" in snakemake(workdir, hub.address, shards(workdir)[0])[1]
    )
    status, said = snakemake(workdir, hub.address, "--force", FETCHED)
    assert status == 0, said
    assert hub.downloads[f"us/tiny/{NAMES[0]}"] == 2
    assert hub.downloads[f"us/tiny/{NAMES[1]}"] == 1
    status, said = snakemake(workdir, hub.address, shards(workdir)[0], "-n")
    assert re.search(r"record_activations +1\n", said), said


def test_a_file_of_weights_needs_only_the_configuration_of_a_repository(hub, tmp_path):
    workdir = new_study(tmp_path / "tuned", weights="tuned.safetensors")
    shutil.copy(DEMO / NAMES[1], workdir / "tuned.safetensors")
    status, said = snakemake(workdir, hub.address, shards(workdir)[0])
    assert status == 0, said
    assert hub.downloads == {f"us/tiny/{NAMES[0]}": 1}
