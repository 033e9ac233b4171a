"""A matrix of directions is read as it was written, or refused in one sentence."""

import re
import runpy

import numpy as np
import pytest
import torch
from flat_flags import call_flat
from recorded import IN_FAMILY, LAYER, TOY, write_shards
from safetensors.torch import save_file

from vitproto.core.project import PROJECT
from vitproto.prototypes import checkpoint
from vitproto.prototypes.directions_file import read_directions
from vitproto.prototypes.scorer import DotProduct

WIDTH = 5
import_directions = runpy.run_path(str(PROJECT / "scripts/import_directions.py"))[
    "import_directions"
]


@pytest.fixture
def directions_KD():
    return np.random.default_rng(0).standard_normal((3, WIDTH)).astype(np.float32)


def write(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".csv":
        np.savetxt(path, values, delimiter=",", fmt="%.9g")
    else:
        save_file({"any name": torch.from_numpy(np.ascontiguousarray(values))}, path)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".safetensors"])
def test_directions_are_read_as_they_were_written(tmp_path, directions_KD, suffix):
    path = write(tmp_path / f"mine{suffix}", directions_KD)
    np.testing.assert_array_equal(read_directions(path, WIDTH), directions_KD)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint16", ">f4"])
def test_numbers_of_any_type_are_read(tmp_path, dtype):
    values = np.arange(1, 11).reshape(2, WIDTH).astype(dtype)
    path = write(tmp_path / "mine.npy", values)
    read = read_directions(path, WIDTH)
    assert read.dtype == torch.float32
    np.testing.assert_array_equal(read, values.astype(np.float32))


def test_a_spreadsheet_may_leave_a_mark_and_empty_lines(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("\ufeff1, 2,3,4,5\r\n\r\n-1e3,0,0,0,0\r\n", encoding="utf-8")
    expected = [[1, 2, 3, 4, 5], [-1000, 0, 0, 0, 0]]
    np.testing.assert_array_equal(read_directions(path, WIDTH), expected)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.ones((3, 6)), "holds 3 directions of width 6, but the activations have w"),
        (np.ones((5, 3)), "width 5. Its transpose would fit"),
        (np.ones(5), "is no matrix, its shape is 5"),
        (np.ones((2, 3, 5)), "is no matrix, its shape is 2 × 3 × 5"),
        (np.ones((0, 5)), "is no matrix, its shape is 0 × 5"),
        (np.float64(3), "is no matrix, its shape is a single number"),
        (np.ones((3, 5), complex), "holds complex128, not numbers"),
        (np.ones((3, 5), bool), "holds bool, not numbers"),
        (np.array([["a"] * 5]), "holds <U1, not numbers"),
        (np.array([[1.0] * 5, [0.0] * 5]), "direction 1, counted from 0, is 0 or not"),
        (np.array([[1.0] * 5, [np.nan] * 5]), "direction 1, counted from 0, is 0 or "),
        (np.array([[1e300] * 5]), "direction 0, counted from 0, is 0 or not finite"),
    ],
)
def test_what_is_no_matrix_of_this_width_is_refused(tmp_path, values, complaint):
    path = tmp_path / "mine.npy"
    np.save(path, values)
    with pytest.raises(ValueError, match=re.escape(complaint)) as said:
        read_directions(path, WIDTH)
    assert str(path) in str(said.value)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b,c,d,e\n1,2,3,4,5\n", "line 1: could not convert string to float: 'a'"),
        ("1,2,3,4,5\n1,2\n", "line 2, has 2 numbers, but the first has 5"),
        ("1;2;3;4;5\n", "line 1: could not convert"),
        ("", "is no matrix, its shape is 0"),
        ("1,2,nan,4,5\n", "direction 0, counted from 0, is 0 or not finite"),
    ],
)
def test_a_csv_file_is_refused_with_its_line(tmp_path, text, complaint):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(complaint)):
        read_directions(path, WIDTH)


def test_a_file_with_several_tensors_is_refused_with_their_names(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file({"W": torch.ones(3, 5), "b": torch.ones(3)}, path)
    with pytest.raises(ValueError, match=r"holds W \(3 × 5\), b \(3\), and direct"):
        read_directions(path, WIDTH)


def test_python_objects_are_never_loaded(tmp_path):
    path = tmp_path / "mine.npy"
    np.save(path, np.array([{"a": 1}] * 5, object))
    with pytest.raises(ValueError, match="no matrix of numbers .Python objects"):
        read_directions(path, WIDTH)


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>", b"\x80\x81" * 50])
def test_other_files_are_named(tmp_path, suffix, content):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_directions(path, WIDTH)
    path.unlink()
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_directions(path, WIDTH)


def test_the_stage_stores_them_as_a_scorer(tmp_path, directions_KD):
    shards = write_shards(tmp_path, np.ones((2, 4, WIDTH), np.float32))
    arguments = {
        **{"file": write(tmp_path / "mine.npy", directions_KD), "shards": shards},
        **{"store": tmp_path / "store", "checkpoints": tmp_path / "checkpoints.json"},
        **{"layer": LAYER, **IN_FAMILY},
    }
    call_flat(import_directions, runs=("k3-seed0",), **arguments)
    (fit,) = checkpoint.read_manifest(arguments["checkpoints"], TOY, ["k3-seed0"])
    scorer = checkpoint.load_as(fit.path, DotProduct)
    x_BD = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(
        scorer(x_BD), x_BD.double().numpy() @ directions_KD.T, rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match="has 3 directions, but a run asks for 4: wr"):
        call_flat(import_directions, runs=("k4-seed0",), **arguments)
