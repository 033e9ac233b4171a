"""No flipped bit of a stored file is read as data, and none makes a reader hang."""

import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vitproto.core.checksums import PIECE, SMALL, checksum, row_checksums
from vitproto.core.hdf5_file import (
    CHECKSUM,
    open_hdf5,
    whole_hdf5,
    write_attributes,
    write_strings,
)
from vitproto.core.project import PROJECT
from vitproto.core.tensors_file import read_header, read_tensors, write_tensors
from vitproto.core.unreadable import DamagedError, UnreadableError

IDS = ["a", "bird/ß", "", "a longer name than the others"]
TABLE = np.arange(60, dtype=np.float32).reshape(4, 15)
ATTRIBUTES = {"encoder": "tiny", "n": 4, "share": 0.5, "notes": ["none", "é"], "no": []}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.h5"
    with whole_hdf5(path) as file:
        write_attributes(file, ATTRIBUTES)
        write_strings(file, "ids", IDS)
        group = file.create_group("run")
        write_attributes(group, {"kinds": ("x", "yz"), "made_by": ""})
        group.create_dataset("table", data=TABLE)
        group.create_dataset("packed", data=TABLE > 7, compression="gzip")
        group.create_dataset("nothing", data=np.empty((0, 3)))
    return path


def read_all(path):
    with open_hdf5(path, "no file of a test", "delete it") as file:
        return [
            file.attributes(),
            file.attributes("run"),
            sorted(file.names("run")),
            file.strings("ids"),
            *(file.values(f"run/{name}").tolist() for name in file.names("run")),
        ]


def test_what_was_written_is_read(path):
    of_file, of_group, names, ids, *tables = read_all(path)
    assert of_file.pop("no").size == 0
    assert of_file == {k: v for k, v in ATTRIBUTES.items() if k != "no"}
    assert of_group == {"kinds": ["x", "yz"], "made_by": ""}
    assert names == ["nothing", "packed", "table"]
    assert ids == IDS
    assert tables == [[], (TABLE > 7).tolist(), TABLE.tolist()]


FLIP = """
    import sys
    from pathlib import Path
    sys.path[:0] = ["tests/core"]
    from test_checksums import read_all
    from vitproto.core.unreadable import DamagedError, UnreadableError

    good, bad = Path(sys.argv[1]), Path(sys.argv[2])
    expected = repr(read_all(good))
    content = good.read_bytes()
    n_refused = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        bad.write_bytes(damaged)
        try:
            came = repr(read_all(bad))
        except DamagedError as error:
            assert str(bad) in str(error), error
            n_refused += 1
        else:
            assert came == expected, (at, came)
    print(n_refused)
"""


def test_no_bit_that_flips_anywhere_is_read_as_data_or_hangs_a_reader(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FLIP), path, tmp_path / "bad.h5"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 600


def test_no_string_of_our_files_lies_in_a_heap(path):
    """HDF5 has no checksums on the heap of strings of variable length."""
    with h5py.File(path) as file:
        nodes = [file, *(file[name] for name in ("ids", "run", "run/table"))]
        for node in nodes:
            for name in node.attrs:
                assert node.attrs.get_id(name).dtype.kind != "O", name
        assert file["ids"].dtype.kind == "S"


@pytest.mark.parametrize("name", ["table", "packed"])
def test_values_that_were_changed_are_refused(path, name):
    with h5py.File(path, "r+") as file:
        file[f"run/{name}"][1, 2] = not file[f"run/{name}"][1, 2]
    with (
        open_hdf5(path, "no file of a test", "delete it") as file,
        pytest.raises(DamagedError) as said,
    ):
        file.values(f"run/{name}")
    assert str(said.value) == (
        f"{path} is damaged or no file of a test (the values of run/{name} do not "
        "match their checksum): delete it"
    )


def test_a_dataset_without_a_checksum_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["run/table"].attrs[CHECKSUM]
    with (
        open_hdf5(path, "no file of a test", "delete it") as file,
        pytest.raises(DamagedError, match="file.h5 is damaged"),
    ):
        file.values("run/table")


@pytest.mark.parametrize(
    "shape", [(3, 200_000), (300_000, 3), (2, 9, 70_000), (700_000,)]
)
def test_large_arrays_have_the_checksum_of_their_rows(tmp_path, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert values.nbytes > SMALL
    with whole_hdf5(tmp_path / "a.h5") as file:
        file["x"] = values
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"].attrs[CHECKSUM].decode() == checksum(values)
    for at in [(0,) * len(shape), tuple(n - 1 for n in shape)]:
        changed = values.copy()
        changed[at] = np.nextafter(changed[at], 9, dtype=np.float32)
        assert checksum(changed) != checksum(values)
    swapped = values.copy()
    swapped[[0, 1]] = values[[1, 0]]
    assert checksum(swapped) != checksum(values)


def test_a_dataset_is_hashed_piece_by_piece_as_in_one(monkeypatch):
    values = np.random.default_rng(0).normal(size=(1000, 300))
    whole = checksum(values)
    monkeypatch.setattr("vitproto.core.checksums.PIECE", 100_000)
    assert values.nbytes < PIECE
    assert checksum(values) == whole


def test_rows_of_zeros_have_a_checksum_of_their_own():
    """A block of zeros, checksums included, must not be taken for good."""
    zeros = row_checksums(np.zeros((3, 64), np.float32))
    assert len(set(zeros.tolist())) == 1
    assert zeros[0] != 0


def test_no_bit_of_a_file_of_tensors_flips_unnoticed(tmp_path):
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    tensors = {"W_KD": torch.arange(12.0).view(3, 4).T, "b_K": torch.zeros(3)}
    header = {"settings": {"seed": 3, "note": "é"}}
    write_tensors(good, tensors, header)
    content = good.read_bytes()
    read = read_tensors(good, "delete it")
    assert {name: t.tolist() for name, t in read.items()} == {
        name: t.tolist() for name, t in tensors.items()
    }
    n_bytes_of_tensors = 4 * (12 + 3)
    for at in range(len(content)):
        for bit in range(8) if at >= len(content) - n_bytes_of_tensors else (at % 8,):
            damaged = bytearray(content)
            damaged[at] ^= 1 << bit
            bad.write_bytes(damaged)
            try:
                came = read_tensors(bad, "delete it")
            except UnreadableError as error:
                assert str(bad) in str(error)  # noqa: PT017
            else:
                assert at < len(content) - n_bytes_of_tensors
                assert {n: t.tolist() for n, t in came.items()} == {
                    n: t.tolist() for n, t in tensors.items()
                }
                assert read_header(bad, "delete it") == header


def test_a_file_of_tensors_of_an_earlier_version_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.ones(2)}, path, {"vitproto": '{"settings": {}}'})
    assert read_header(path, "fit it again") == {"settings": {}}
    with pytest.raises(UnreadableError, match="an earlier version wrote it: fit it"):
        read_tensors(path, "fit it again")
