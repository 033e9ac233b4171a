"""Errors of the file system are never called damage, and damage names its file."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pytest
from recorded import LAYER, write_shards
from safetensors.numpy import save_file

from vitproto.activations.fetched import read_fetched
from vitproto.activations.image_digests import read_image_digests, read_image_ids
from vitproto.activations.shards import read_shard
from vitproto.activations.stream import Activations
from vitproto.activations.weights_file import read_weights
from vitproto.core.unreadable import DamagedError, file_system_error, unreadable
from vitproto.prototypes import checkpoint
from vitproto.prototypes.sae.states import States
from vitproto.report.saes.frequencies import read_frequencies
from vitproto.report.shared.links import read_note
from vitproto.report.shared.typed_csv import read_typed
from vitproto.segmentation.labels.patch_labels import read_patch_labels
from vitproto.segmentation.probes.linear_probe import load_probe
from vitproto.segmentation.suppression.class_directions import load_directions
from vitproto.segmentation.suppression.counts_file import read_counts
from vitproto.segmentation.suppression.latent_tables import read_activity, read_chosen
from vitproto.study.family import FittedFamily, ScoredFamily
from vitproto.traits.ceiling_scores import open_ceiling_scores
from vitproto.traits.pooled_file import PooledLayer, read_pooled
from vitproto.traits.score_file import open_scores

PLACE = PooledLayer("birds", "tiny", 3)
FITTED = FittedFamily("corpus", "tiny", 3, "topk")
SCORED = ScoredFamily("corpus", "tiny", 3, "topk", "birds")


def _open_scores(path):
    with open_scores(path, SCORED, ["k4-seed0"]):
        pass


def _open_ceiling(path):
    with open_ceiling_scores(path, PLACE):
        pass


READERS = {
    "a shard": ("shard.h5", lambda path: read_shard(path, LAYER)),
    "pooled activations": ("pooled.h5", lambda path: read_pooled(path, PLACE)),
    "scores of probes": ("probes.h5", _open_ceiling),
    "scores": ("scores.h5", _open_scores),
    "counts": ("counts.h5", read_counts),
    "patch labels": ("labels.h5", read_patch_labels),
    "frequencies": ("latents.h5", lambda path: read_frequencies([path])),
    "a probe": ("probe.safetensors", load_probe),
    "directions": ("directions.safetensors", lambda path: load_directions(path, 2, 3)),
    "a checkpoint": ("run.safetensors", checkpoint.load),
    "a list of checkpoints": (
        "checkpoints.json",
        lambda path: checkpoint.read_manifest(path, FITTED, []),
    ),
    "weights": ("weights.safetensors", read_weights),
    "weights of torch": ("weights.pt", read_weights),
    "fetched files": ("fetched.json", read_fetched),
    "a note": (
        "pictures.json",
        lambda path: read_note(path.parent, path.name, "show_suppression"),
    ),
    "chosen latents": ("class_latents.csv", lambda path: read_chosen(path, ["sky"], 4)),
    "activity": ("latent_activity.csv", lambda path: read_activity(path, 4)),
    "a table": ("ap.csv", lambda path: read_typed(path, {"ap": "float64"}, [])),
    "states of a training": (
        "unfinished/job-1/index.json",
        lambda path: States(path.parents[1]).read("run"),
    ),
}
MAY_BE_MISSING = {"states of a training", "a note"}
"""No training has begun; and a folder that holds no note is named, not the note."""
GARBAGE = {
    "empty": b"",
    "a page": b"<!doctype html><html><body>404</body></html>\n" * 40,
    "noise": np.random.default_rng(0).bytes(4000),
    "zeros": bytes(4000),
    "a number": b"7",
    "an HDF5 file that ends early": b"\x89HDF\r\n\x1a\n" + bytes(90),
    "a header of nothing": (2).to_bytes(8, "little") + b"{}",
    "a header that is no text": (4).to_bytes(8, "little") + b"\xff\xfe\xff\xfe",
}


@contextmanager
def too_many_open_files():
    """Let no file be opened, as when a process has reached its limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = len(os.listdir("/proc/self/fd")) - 1
    free = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
        # Numbers below the limit may be free.
        while True:
            try:
                free.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        for descriptor in free:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("reader", READERS)
def test_too_many_open_files_are_not_damage(tmp_path, reader):
    name, read = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"whatever")
    with pytest.raises(ValueError, match=name):
        read(path)  # so that nothing is left to import
    with (
        pytest.raises(ValueError, match="Too many open files") as said,
        too_many_open_files(),
    ):
        read(path)
    named = path.parents[1] if reader == "states of a training" else path
    assert str(said.value).startswith(
        f"{named} cannot be read: Too many open files (errno 24)"
    )
    assert "keep it" in str(said.value)
    assert "delete" not in str(said.value)
    assert "damaged" not in str(said.value)


def test_a_file_that_a_notebook_has_open_is_not_damaged(tmp_path):
    path = tmp_path / "scores.h5"
    with h5py.File(path, "w") as file:
        file["x"] = [1.0]
    with (
        h5py.File(path),
        pytest.raises(ValueError, match="has it open in another way") as said,
    ):
        _open_scores(path)
    assert str(said.value).startswith(f"{path} cannot be read: ")
    assert "delete" not in str(said.value)
    assert "damaged" not in str(said.value)


@pytest.mark.parametrize("content", GARBAGE)
@pytest.mark.parametrize("reader", READERS)
def test_damage_names_the_file_and_what_to_do(tmp_path, reader, content):
    name, read = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(GARBAGE[content])
    with pytest.raises(ValueError, match=name) as said:
        read(path)
    assert str(path) in str(said.value)
    assert "errno" not in str(said.value)


@pytest.mark.parametrize("reader", sorted(READERS.keys() - MAY_BE_MISSING))
def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path, reader):
    name, read = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(ValueError, match="there is no") as said:
        read(path)
    assert str(path) in str(said.value)
    assert "damaged" not in str(said.value)


TENSORS = {"W_KD": np.ones((2, 3), np.float32)}
HEADERS = ("[1]", "7", "{}", "null", '{"scorer": "dot_product"}', "not JSON")
HEADERS += ('{"scorer": "dot_product", "arguments": {"no": 1}, "settings": {}}',)
HEADERS += ('{"scorer": "none", "arguments": {}, "settings": {}}',)
HEADERS += ('{"kind": "linear probe", "settings": 3}', '{"settings": [1, 2]}')


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("reader", ["a probe", "directions", "a checkpoint"])
def test_a_header_that_says_something_else_names_its_file(tmp_path, reader, header):
    name, read = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(TENSORS, path, {"vitproto": header})
    with pytest.raises(ValueError, match=name):
        read(path)


TABLES = {
    "class_latents.csv": "label,class_name,criterion,rank,latent,is_chosen,note\n",
    "latent_activity.csv": "latent,n_active,largest\n",
    "ap.csv": "ap\n",
}
ROWS = {
    "class_latents.csv": ("x,sky,ap,0,1,True,\n", "1,sky,ap,0,x,True,\n"),
    "latent_activity.csv": ("".join(f"{i},x,1\n" for i in range(4)),),
    "ap.csv": ("x\n", '"1\n', "1,2,3\n4\n"),
}


@pytest.mark.parametrize(
    ("name", "rows"), [(name, rows) for name in ROWS for rows in ROWS[name]]
)
def test_a_cell_that_is_no_number_names_its_file(tmp_path, name, rows):
    (read,) = (read for called, read in READERS.values() if called == name)
    (tmp_path / name).write_text(TABLES[name] + rows)
    with pytest.raises(ValueError, match=name):
        read(tmp_path / name)


LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, 524, errno.EAGAIN)
OTHERS = (errno.EACCES, errno.EMFILE, errno.ESTALE, errno.EIO, errno.ETIMEDOUT)


@pytest.mark.parametrize("number", [*LOCKS, *OTHERS])
def test_no_error_number_of_the_file_system_is_damage(tmp_path, number):
    (path,) = write_shards(tmp_path, np.ones((2, 3, 4), np.float32))
    raised = OSError(number, os.strerror(number))
    of_hdf5 = OSError(
        "Can't synchronously read data (file read failed: time = Sat, filename = "
        f"'{path}', file descriptor = 5, errno = {number}, error message = '…')"
    )
    of_rust = RuntimeError(f"No such device (os error {number})")
    for error in (raised, of_hdf5, of_rust):
        assert file_system_error(path, error) == number
        made = unreadable(path, error, "it is damaged")
        assert not isinstance(made, DamagedError)
        assert f"(errno {number})" in str(made)
        assert "damaged" not in str(made)
    with mock.patch.object(h5py, "File", side_effect=raised):
        with pytest.raises(ValueError, match="keep it"):
            read_shard(path, LAYER)
        with pytest.raises(ValueError, match="keep it"):
            read_image_digests(path)
        with pytest.raises(ValueError, match="keep it"):
            read_image_ids(path)
    acts = Activations.open([path], LAYER)
    with (
        mock.patch.object(os, "preadv", side_effect=raised),
        pytest.raises(ValueError, match="keep it") as said,
    ):
        list(acts.blocks(1))
    assert str(path) in str(said.value)


@pytest.mark.parametrize(
    "error",
    [
        OSError("Unable to open file (truncated file: eof = 96, stored_eof = 2048)"),
        OSError(errno.EINVAL, "Invalid argument"),  # an offset that cannot be
        OSError("file read failed: errno = 0, error message = 'Success'"),
        KeyError("layer3"),
    ],
)
def test_what_only_contents_can_cause_is_damage(tmp_path, error):
    path = tmp_path / "shard.h5"
    path.write_bytes(b"something")
    assert file_system_error(path, error) is None
    made = unreadable(path, error, "it is damaged")
    assert isinstance(made, DamagedError)
    assert str(made) == "it is damaged"


HOLD = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_files_are_read_although_others_hold_a_lock(tmp_path):
    (path,) = write_shards(tmp_path, np.ones((2, 3, 4), np.float32))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with path.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert read_shard(path, LAYER).path == path
        assert read_image_ids(path) != []
        holder.stdin.close()


def test_hdf5_files_are_opened_in_one_place_without_a_lock():
    """HDF5 locks by default, which fails on many network file systems."""
    folder = Path(checkpoint.__file__).parents[1]
    opened = [
        (path.name, line.strip())
        for path in folder.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "h5py.File(" in line
    ]
    assert {name for name, _ in opened} == {"hdf5_file.py"}
    assert [line for _, line in opened if "locking=False" not in line] == []
