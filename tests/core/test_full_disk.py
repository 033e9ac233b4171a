"""A full disk ends in one sentence, leaves no partial file, and crashes nothing."""

import os
import resource
import subprocess
import sys

import pytest

from vitproto.core.files import whole_file, write_text

WRITE_SHARD = """
from pathlib import Path
import torch
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.launch.cli import run

def record(folder: Path) -> None:
    ids = [f"image{i}" for i in range(500)]
    layers = {layer: LayerShape(16, 64, has_cls=True) for layer in (2, 3)}
    known = {"encoder": "tiny"}
    path = folder / "shard.h5"
    with write_shard(path, ids, layers, "float32", known, i_shard=0, n_shards=1) as out:
        for i in range(0, 500, 50):
            for layer in layers:
                out.write(i, layer, torch.ones(50, 16, 64), torch.ones(50, 64))

run(record)
"""
SIZE = 4_300_000
"""About the size of the shard."""


def record(folder, largest_file=resource.RLIM_INFINITY):
    """Write the shard in a process of its own, whose files have a largest size."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    return subprocess.run(
        [sys.executable, "-c", WRITE_SHARD, "--folder", folder],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (largest_file, hard)
        ),
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize(
    "size", [40_000, SIZE // 9, SIZE // 3, SIZE // 2, SIZE - 300_000]
)
def test_a_shard_on_a_full_disk_is_a_sentence(tmp_path, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        done = record(disk)
        left = list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stderr.strip().splitlines()[-1] == (
        f"record: {disk}/shard.h5 cannot be written: No space left on device (errno "
        "28). Free some room on its disk, and run again"
    )
    assert "Traceback" not in done.stderr
    assert left == []


@pytest.mark.parametrize("size", [20_000, SIZE // 2, SIZE - 300_000])
def test_a_shard_above_the_largest_size_of_files_is_a_sentence(tmp_path, size):
    done = record(tmp_path, largest_file=size)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stderr.strip().splitlines()[-1] == (
        f"record: {tmp_path}/shard.h5 cannot be written: File too large (errno 27). "
        "Raise the largest size of files (ulimit -f), and run again"
    )
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_finds_room_is_written(tmp_path):
    done = record(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["shard.h5"]
    size = (tmp_path / "shard.h5").stat().st_size
    assert abs(size - SIZE) < 200_000


def test_text_that_finds_no_room_leaves_the_old_text(tmp_path):
    path = tmp_path / "table.md"
    write_text("old", path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        with pytest.raises(ValueError, match=r"table\.md cannot be written: File too"):
            write_text("new" * 10_000, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.md"]
    assert path.read_text() == "old"


def test_other_errors_stay_what_they_are(tmp_path):
    path = tmp_path / "table.md"
    with pytest.raises(PermissionError, match="mine"), whole_file(path):
        raise PermissionError(13, "mine")
