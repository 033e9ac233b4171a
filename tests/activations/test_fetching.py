"""What an encoder needs of the hub is fetched once and listed the same everywhere."""

import hashlib
import json
import os
import subprocess
import sys
import time

import pytest
from fake_hub import FakeHub, serve
from study_copy import PROJECT, environment

from vitproto.activations.fetched import (
    HubFile,
    find_fetched,
    needs_hub,
    read_fetched,
)
from vitproto.activations.fetching import Wanted, find_wanted

CONFIG, SAFE, PICKLED = (
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
FILES = {
    "us/safe": {CONFIG: b"{}", SAFE: b"safe" * 200_000, PICKLED: b"pickled"},
    "us/pickled": {CONFIG: b"{}", PICKLED: b"pickled"},
    "us/other": {"config.json": b"{}"},
    "us/empty": {CONFIG: b"{}"},
}


@pytest.fixture
def hub():
    with serve(FakeHub(FILES)) as hub:
        yield hub


def command(folder, model, needs="weights"):
    return [
        *(sys.executable, "scripts/fetch_weights.py", "--model", model),
        *("--pretrained", "own", "--needs", needs),
        *("--fetched", folder / "list.json", "--hub_cache", folder / "hub"),
    ]


def with_hub(address):
    online = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"}
    return {"cwd": PROJECT, "env": {**environment(PROJECT), **online}, "text": True}


def fetch(folder, address, *args):
    done = subprocess.run(
        command(folder, *args), **with_hub(address), capture_output=True
    )
    return done.returncode, done.stderr


def test_files_are_listed_with_digests_and_the_same_everywhere(hub, tmp_path):
    for place in ("here", "there"):
        status, said = fetch(tmp_path / place, hub.address, "hf-hub:us/safe")
        assert status == 0, said
    here, there = (tmp_path / place / "list.json" for place in ("here", "there"))
    assert here.read_bytes() == there.read_bytes()
    assert json.loads(here.read_text()) == {
        "model": "hf-hub:us/safe",
        "pretrained": "own",
        "files": [
            {
                "repository": "us/safe",
                "commit": hub.commit("us/safe"),
                "name": name,
                "size": len(FILES["us/safe"][name]),
                "sha256": hashlib.sha256(FILES["us/safe"][name]).hexdigest(),
            }
            for name in (CONFIG, SAFE)  # rather than what is pickled
        ],
    }
    # Each folder fetched each file once, and nothing else.
    assert hub.downloads == {f"us/safe/{CONFIG}": 2, f"us/safe/{SAFE}": 2}
    assert "800,000 bytes" in said
    assert "of 800kB" in said  # progress
    found = find_fetched(here, tmp_path / "here/hub")
    assert [path.read_bytes() for path in found] == [b"{}", b"safe" * 200_000]
    # Again, also without a network: nothing is fetched, and the list is the same.
    before = here.read_bytes()
    for address in (hub.address, "http://127.0.0.1:9"):
        assert fetch(tmp_path / "here", address, "hf-hub:us/safe")[0] == 0
        assert here.read_bytes() == before
    assert hub.downloads[f"us/safe/{SAFE}"] == 2


def test_pickled_weights_are_taken_where_there_are_no_others(hub, tmp_path):
    assert fetch(tmp_path, hub.address, "hf-hub:us/pickled")[0] == 0
    files = read_fetched(tmp_path / "list.json").files
    assert [file.name for file in files] == [CONFIG, PICKLED]
    assert fetch(tmp_path, hub.address, "hf-hub:us/pickled", "config")[0] == 0
    files = read_fetched(tmp_path / "list.json").files
    assert [file.name for file in files] == [CONFIG]


def test_a_killed_download_is_completed_by_the_same_command(hub, tmp_path):
    hub.delay = 2.0
    process = subprocess.Popen(
        command(tmp_path, "hf-hub:us/safe"), **with_hub(hub.address)
    )
    until = time.monotonic() + 120
    while hub.n_pieces < 3:  # one of the configuration, two of the weights
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    process.kill()
    process.communicate()
    blobs = tmp_path / "hub/models--us--safe/blobs"
    (part,) = blobs.glob("*.incomplete")
    assert not (tmp_path / "list.json").exists()
    os.utime(part, (0, 0))  # it was killed yesterday
    hub.delay = 0.0
    status, said = fetch(tmp_path, hub.address, "hf-hub:us/safe")
    assert status == 0, said
    assert not list(blobs.glob("*.incomplete"))
    assert hub.downloads == {f"us/safe/{CONFIG}": 1, f"us/safe/{SAFE}": 1}
    assert find_fetched(tmp_path / "list.json", tmp_path / "hub")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("hf-hub:us/none", "has no repository us/none with a revision main that you"),
        ("hf-hub:us/safe@v9", "has no repository us/safe with a revision v9 that you"),
        ("hf-hub:us/other", "us/other has no open_clip_config.json at revision main"),
        ("hf-hub:us/empty", "us/empty has no open_clip_model.safetensors or open_clip"),
    ],
)
def test_what_the_hub_lacks_is_said_in_a_sentence(hub, tmp_path, model, message):
    status, said = fetch(tmp_path, hub.address, model)
    assert status == 1
    assert message in said
    assert "Traceback" not in said


def test_a_damaged_file_is_not_listed(hub, tmp_path):
    assert fetch(tmp_path, hub.address, "hf-hub:us/safe")[0] == 0
    weights = find_fetched(tmp_path / "list.json", tmp_path / "hub")[-1]
    weights.resolve().write_bytes(b"evil" * 200_000)
    status, said = fetch(tmp_path, hub.address, "hf-hub:us/safe")
    assert status == 1
    assert f"{weights} is damaged: its SHA-256 is" in said
    weights.resolve().write_bytes(b"cut")
    with pytest.raises(ValueError, match="is 3 bytes long, not 800,000: fetch it ag"):
        find_fetched(tmp_path / "list.json", tmp_path / "hub")


def test_a_list_that_is_none_says_how_to_make_it_again(tmp_path):
    (tmp_path / "clip.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a list of fetched files") as caught:
        read_fetched(tmp_path / "clip.json")
    assert f"`snakemake --cores 1 --force {tmp_path}/clip.json`" in str(caught.value)


def test_names_of_open_clip_and_timm_are_found_on_the_hub():
    assert find_wanted("ViT-L-16-SigLIP-256", "webli", "weights") == Wanted(
        "timm/ViT-L-16-SigLIP-256", "main", [(SAFE, PICKLED)]
    )
    assert find_wanted("ViT-L-14-quickgelu", "openai", "weights") == Wanted(
        "timm/vit_large_patch14_clip_224.openai", "main", [(SAFE, PICKLED)]
    )
    assert find_wanted(
        "timm:vit_base_patch14_reg4_dinov2", "lvd142m", "weights"
    ) == Wanted(
        "timm/vit_base_patch14_reg4_dinov2.lvd142m",
        "main",
        [("model.safetensors", "pytorch_model.bin")],
    )
    assert find_wanted("hf-hub:a/b@v1", "own", "config") == Wanted(
        "a/b", "v1", [(CONFIG,)]
    )


@pytest.mark.parametrize(
    ("model", "tag", "message"),
    [
        ("ViT-L-99", "openai", "open_clip has no model 'ViT-L-99'"),
        ("ViT-B-32", "own", "ViT-B-32 has no weights 'own': write one of openai"),
        ("timm:vit", "own", "timm has no model and tag 'vit.own'"),
        (
            "timm:vit_huge_patch14_gap_224",
            "in1k_ijepa",
            "is not on the Hugging Face hub, only at https://dl.fbaipublicfiles.com",
        ),
    ],
)
def test_weights_that_are_not_on_the_hub_are_refused(model, tag, message):
    with pytest.raises(ValueError, match=".") as caught:
        find_wanted(model, tag, "weights")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("model", "weights", "expected"),
    [
        ("ViT-B-32", "hub", True),
        ("ViT-B-32", "weights.pt", False),
        ("ViT-B-32", "random", False),
        ("timm:vit", "hub", True),
        ("timm:vit", "random", False),
        ("hf-hub:a/b", "hub", True),
        ("hf-hub:a/b", "weights.pt", True),  # for the architecture
        ("hf-hub:a/b", "random", True),
        ("local-dir:a/b", "hub", False),
    ],
)
def test_who_needs_the_hub(model, weights, expected):
    assert needs_hub(model, weights) == expected


def test_a_file_lies_where_the_hub_s_client_puts_it(tmp_path):
    file = HubFile("a/b", "c" * 40, "model.bin", 1, "")
    expected = f"models--a--b/snapshots/{'c' * 40}/model.bin"
    assert file.at(tmp_path) == tmp_path / expected
