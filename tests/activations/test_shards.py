import operator
import os
import signal
import subprocess
import sys
import textwrap
from unittest import mock

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitproto.activations.image_digests import open_shard
from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.sharding import shard_range
from vitproto.activations.shards import (
    LayerShape,
    ShardWriter,
    image_ids_digest,
    read_shard,
    write_shard,
)
from vitproto.activations.stream import Activations
from vitproto.core.checksums import row_checksums
from vitproto.core.project import PROJECT
from vitproto.core.unreadable import DamagedError

N, P, D = 7, 5, 6
LAYERS = {3: LayerShape(P, D, has_cls=True), 11: LayerShape(P, D, has_cls=False)}
IDS = [f"bird/{i}-é" for i in range(N)]


def values(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def write(path, *, dtype="float32", batch=3, order=(3, 11), attributes=None):
    """The whole data set as one shard, layer by layer in batches."""
    with write_shard(
        path,
        IDS,
        LAYERS,
        dtype,
        attributes or {"encoder": "tiny", "seed": 0, "size": 0.5},
        i_shard=0,
        n_shards=1,
    ) as shard:
        for i in range(0, N, batch):
            for layer in order:
                cls_BD = values(100, N, D)[i : i + batch] if layer == 3 else None
                shard.write(
                    i, layer, values(layer, N, P, D)[i : i + batch].clone(), cls_BD
                )


def test_two_checkouts_may_write_one_shard_at_once(tmp_path, monkeypatch):
    path = tmp_path / "shard.h5"
    write(path)
    alone = path.read_bytes()
    path.unlink()
    monkeypatch.setattr("vitproto.activations.shards.ShardWriter", Interrupted)
    Interrupted.between = lambda: (monkeypatch.undo(), write_as(4321, path))
    write(path)
    assert path.read_bytes() == alone
    assert list(tmp_path.iterdir()) == [path]


class Interrupted(ShardWriter):
    """Lets another process write the same shard when a tenth is written."""

    between = None

    def write(self, *args, **kwargs):
        if (between := Interrupted.between) is not None:
            Interrupted.between = None
            between()
        super().write(*args, **kwargs)


def write_as(pid, path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.getpid", lambda: pid)
        write(path)
    assert path.is_file()


def test_shards_split_seven_images_into_two_two_and_three():
    # 0·7//3 = 0, 1·7//3 = 2, 2·7//3 = 4, 3·7//3 = 7.
    ranges = [shard_range(7, i, 3) for i in range(3)]
    assert ranges == [range(0, 2), range(2, 4), range(4, 7)]


def test_more_shards_than_images_are_refused():
    with pytest.raises(ValueError, match="3 images cannot fill 4 shards: lower n_sh"):
        shard_range(3, 0, 4)
    with pytest.raises(ValueError, match="no shard 4 of 4"):
        shard_range(8, 4, 4)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_h5py_reads_back_what_was_written(tmp_path, dtype):
    write(tmp_path / "a.h5", dtype=dtype)
    with open_shard(tmp_path / "a.h5") as shard:
        assert shard.attributes() == {
            "encoder": "tiny",
            "seed": 0,
            "size": 0.5,
            "format": "vitproto activations 2",
            "layer_numbering": "blocks counted from 0",
            "n_images": N,
            "i_shard": 0,
            "n_shards": 1,
            "n_images_total": N,
            "image_ids_sha256": image_ids_digest(IDS),
        }
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["image_ids"].asstr()[:].tolist() == IDS
        assert file.attrs["encoder"] == b"tiny"
        assert "cls" not in file["layer11"]
        for name, expected in {
            "layer3/patches": values(3, N, P, D),
            "layer11/patches": values(11, N, P, D),
            "layer3/cls": values(100, N, D),
        }.items():
            assert file[name].dtype == dtype
            np.testing.assert_array_equal(file[name], expected.numpy().astype(dtype))
        assert file["layer3/patches"].chunks == (1, P, D)
        assert file["layer3/patches"].compression is None


def test_the_chunk_table_points_at_the_bytes_of_each_image(tmp_path):
    write(tmp_path / "a.h5")
    content = (tmp_path / "a.h5").read_bytes()
    shard = read_shard(tmp_path / "a.h5", 11)
    for i, offset in enumerate(shard.offset_N):
        stored = np.frombuffer(content, np.float32, P * D, offset).reshape(P, D)
        np.testing.assert_array_equal(stored, values(11, N, P, D)[i])
    # Although batches of two layers were written in turns, a layer lies in one piece.
    assert set(np.diff(shard.offset_N)) == {P * D * 4}


def test_the_bytes_depend_neither_on_the_batches_nor_on_the_order_of_layers(tmp_path):
    write(tmp_path / "a.h5", batch=3)
    write(tmp_path / "b.h5", batch=1, order=(11, 3))
    write(
        tmp_path / "c.h5",
        batch=7,
        attributes={"size": 0.5, "seed": 0, "encoder": "tiny"},
    )
    contents = {(tmp_path / f"{name}.h5").read_bytes() for name in "abc"}
    assert len(contents) == 1


def test_values_of_any_float_type_are_stored_in_the_shards_type(tmp_path):
    x_NPD = values(0, 1, 2, 3).to(torch.bfloat16)
    with write_shard(
        tmp_path / "a.h5",
        ["a"],
        {0: LayerShape(2, 3, has_cls=False)},
        "float32",
        {"encoder": "tiny"},
        i_shard=0,
        n_shards=1,
    ) as shard:
        shard.write(0, 0, x_NPD, None)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["layer0/patches"], x_NPD.float())


def attempt(path, dtype, x_NPD, cls_ND=None):
    shape = LayerShape(x_NPD.shape[1], x_NPD.shape[2], has_cls=cls_ND is not None)
    with write_shard(
        path,
        ["a", "b", "c"],
        {23: shape},
        dtype,
        {"encoder": "SigLIP"},
        i_shard=0,
        n_shards=1,
    ) as shard:
        shard.write(0, 23, x_NPD, cls_ND)


@pytest.mark.parametrize("bad", [65_505.0, -1e6])
def test_what_float16_cannot_hold_is_refused(tmp_path, bad):
    x_NPD = torch.zeros(3, 2, 4)
    x_NPD[1, 1, 2] = bad
    with pytest.raises(ValueError, match="65,504") as refused:
        attempt(tmp_path / "a.h5", "float16", x_NPD)
    for part in ("SigLIP", "layer 23", "'b'", "float32", f"{abs(bad):g}"):
        assert part in str(refused.value)
    assert not (tmp_path / "a.h5").exists()
    attempt(tmp_path / "a.h5", "float32", x_NPD)


def test_the_largest_float16_is_kept(tmp_path):
    attempt(tmp_path / "a.h5", "float16", torch.full((3, 2, 4), -65_504.0))
    with h5py.File(tmp_path / "a.h5") as file:
        assert (file["layer23/patches"][:] == -65_504).all()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused_in_any_type(tmp_path, dtype, bad):
    cls_ND = torch.zeros(3, 4)
    cls_ND[2, 0] = bad
    with pytest.raises(ValueError, match=r"layer 23, image 'c'.*in float32"):
        attempt(tmp_path / "a.h5", dtype, torch.zeros(3, 2, 4), cls_ND)


def test_a_forgotten_image_is_our_bug_and_leaves_no_shard(tmp_path):
    with (
        pytest.raises(AssertionError, match="layer 0: 1 images never written"),
        write_shard(
            tmp_path / "a.h5",
            ["a", "b"],
            {0: LayerShape(2, 3, has_cls=False)},
            "float32",
            {"encoder": "tiny"},
            i_shard=0,
            n_shards=1,
        ) as shard,
    ):
        shard.write(1, 0, torch.zeros(1, 2, 3), None)
    assert not (tmp_path / "a.h5").exists()


def test_a_writer_killed_midway_leaves_no_shard_and_the_next_one_succeeds(tmp_path):
    path = tmp_path / "a.h5"
    script = f"""
        import os, signal, torch
        from pathlib import Path
        from vitproto.activations.shards import LayerShape, write_shard
        shape = {{0: LayerShape(8, 16, has_cls=False)}}
        with write_shard(Path({str(path)!r}), ["a", "b"], shape, "float32",
                         {{"encoder": "tiny"}}, i_shard=0, n_shards=1) as shard:
            shard.write(0, 0, torch.zeros(1, 8, 16), None)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=False,
        cwd=PROJECT,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    write(path)
    assert read_shard(path, 3).image_ids == IDS


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_shard_is_named_and_never_read(tmp_path, share):
    path = tmp_path / "torn.h5"
    write(path)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ValueError, match=r"torn\.h5 is damaged.*delete it and run"):
        read_shard(path, 11)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_bit_that_flips_anywhere_is_noticed_or_harmless(tmp_path, dtype):
    write(tmp_path / "good.h5", dtype=dtype)
    content = (tmp_path / "good.h5").read_bytes()
    (_, good_NPD), *_ = Activations.open([tmp_path / "good.h5"], 11).blocks(N)
    n_refused = 0
    for at in range(0, len(content), 17):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        (tmp_path / "bad.h5").write_bytes(damaged)
        try:
            acts = Activations.open([tmp_path / "bad.h5"], 11)
            (_, x_NPD), *_ = acts.blocks(N)
        except ValueError as error:
            assert "bad.h5" in str(error)  # noqa: PT017
            n_refused += 1
        else:
            assert acts.image_ids == IDS
            assert torch.equal(x_NPD, good_NPD)
    assert n_refused > 50


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_no_bit_of_a_patch_flips_unnoticed(tmp_path, dtype):
    write(tmp_path / "good.h5", dtype=dtype)
    content = (tmp_path / "good.h5").read_bytes()
    shard = read_shard(tmp_path / "good.h5", 11)
    n_bytes = D * shard.dtype.itemsize
    first = int(shard.offset_N[2]) + 3 * n_bytes  # image 2, patch 3
    for bit in range(8 * n_bytes):
        damaged = bytearray(content)
        damaged[first + bit // 8] ^= 1 << bit % 8
        (tmp_path / "bad.h5").write_bytes(damaged)
        acts = Activations.open([tmp_path / "bad.h5"], 11)
        others = acts.read_patches(np.array([2, 2, 1]), np.array([2, 4, 3]))
        assert len(others) == 3
        for read in (
            lambda acts: list(acts.blocks(2)),
            lambda acts: acts.read_images(np.array([4, 2])),
            lambda acts: acts.read_patches(np.array([0, 2]), np.array([1, 3])),
            lambda acts: acts.only(np.array([2])).sample_patches(P, seed=0),
            lambda acts: next(iter(batches_of(acts))),
        ):
            with pytest.raises(DamagedError) as said:
                read(acts)
            assert str(said.value) == (
                f"{tmp_path / 'bad.h5'} is damaged: patch 3 of the image {IDS[2]!r}, "
                "layer 11, does not match its checksum. Delete it and run "
                "record_activations again"
            )


def batches_of(acts):
    n = acts.n_images * acts.n_patches
    return RandomBatches(acts, batch_size=n, seed=0, n_mixed=n, first_batch=0)


def test_zeros_in_place_of_an_image_and_its_checksums_are_noticed(tmp_path):
    write(tmp_path / "a.h5")
    shard = read_shard(tmp_path / "a.h5", 11)
    with (tmp_path / "a.h5").open("r+b") as file:
        file.seek(shard.offset_N[2])
        file.write(bytes(P * D * 4))
    with pytest.raises(DamagedError, match=r"patch 0 of the image .*checksum"):
        list(Activations.open([tmp_path / "a.h5"], 11).blocks(3))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["layer11/checksums"][2] = 0
    with pytest.raises(DamagedError, match="layer11/checksums do not match"):
        list(Activations.open([tmp_path / "a.h5"], 11).blocks(3))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 40)),
    dtype=st.sampled_from(["u1", "f2", "f4", "f8"]),
    data=st.data(),
)
def test_row_checksums_are_those_of_the_formula(shape, dtype, data):
    raw = data.draw(
        st.binary(min_size=n_bytes(shape, dtype), max_size=n_bytes(shape, dtype))
    )
    rows = np.frombuffer(raw, dtype).reshape(shape)
    row_bytes = shape[1] * np.dtype(dtype).itemsize
    word = next(size for size in (4, 2, 1) if row_bytes % size == 0)
    coefficients = [
        int(x) for x in np.random.PCG64(0).random_raw(row_bytes // word + 1)
    ]
    by_numpy = row_checksums(rows)
    with mock.patch("vitproto.core.checksums.SMALL", -1):
        by_kernel = row_checksums(rows)
    np.testing.assert_array_equal(by_kernel, by_numpy)
    for row, came in zip(rows, by_numpy, strict=True):
        octets = row.tobytes()
        words = [
            int.from_bytes(octets[i : i + word], "little")
            for i in range(0, row_bytes, word)
        ]
        total = coefficients[0] + sum(map(operator.mul, coefficients[1:], words))
        assert came == (total % 2**64) >> 32


def n_bytes(shape, dtype):
    return shape[0] * shape[1] * np.dtype(dtype).itemsize


def test_a_missing_file_a_foreign_file_and_a_missing_layer_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no shard .*a\.h5"):
        read_shard(tmp_path / "a.h5", 3)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match=r"foreign\.h5 has the format None"):
        read_shard(tmp_path / "foreign.h5", 3)
    write(tmp_path / "b.h5")
    with pytest.raises(ValueError, match=r"b\.h5 holds the layers 3, 11, not 23"):
        read_shard(tmp_path / "b.h5", 23)


def rewritten(path, **options):
    """The same shard, but layer 3 stored with other options, as h5repack might."""
    write(path)
    with h5py.File(path, "a") as file:
        patches = file["layer3/patches"][:]
        del file["layer3/patches"]
        file["layer3"].create_dataset("patches", data=patches, **options)
    return path


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"chunks": (1, P, D), "compression": "gzip"}, "missing or compressed"),
        ({"chunks": (2, P, D)}, "expected one image in each"),
        ({}, "expected one image in each"),
        ({"chunks": (1, P, D), "dtype": ">f4"}, "expected float32 or float16"),
        ({"chunks": (1, P, D), "dtype": "f8"}, "expected float32 or float16"),
    ],
)
def test_a_layout_that_cannot_be_read_by_offset_is_refused(
    tmp_path, options, complaint
):
    with pytest.raises(ValueError, match=complaint):
        read_shard(rewritten(tmp_path / "a.h5", **options), 3)


def test_a_chunk_that_was_never_written_is_noticed(tmp_path):
    write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["layer3/patches"]
        patches = file["layer3"].create_dataset(
            "patches", (N, P, D), "f4", chunks=(1, P, D)
        )
        patches[: N - 2] = 1.0
    with pytest.raises(ValueError, match=f"2 of {N} images are missing"):
        read_shard(tmp_path / "a.h5", 3)
