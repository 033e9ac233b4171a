import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import tracemalloc
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.activations.stream import Activations, draw_distinct, widened
from vitproto.core.project import PROJECT

LAYER = 4


def patches_of(n_images, n_patches, width, dtype="float32"):
    """Activations as float32, rounded as the shards will round them."""
    rng = np.random.default_rng(n_images * n_patches * width)
    x_NPD = rng.standard_normal((n_images, n_patches, width), np.float32)
    return x_NPD.astype(dtype).astype(np.float32)


def write_dataset(folder, x_NPD, n_shards=1, dtype="float32", **changes):
    """Write shards; two layers in turns, of which the second is all zeros."""
    folder = Path(folder)
    n_images, n_patches, width = x_NPD.shape
    shape = LayerShape(n_patches, width, has_cls=False)
    first, paths = 0, []
    for i_shard in range(n_shards):
        path = folder / f"shard-{i_shard}-of-{n_shards}.h5"
        with write_shard(
            path,
            changes.get("image_ids", [f"image{i}" for i in range(n_images)]),
            {LAYER: shape, 9: shape},
            dtype,
            {"encoder": "tiny", **changes.get("attributes", {})},
            i_shard=i_shard,
            n_shards=n_shards,
        ) as shard:
            last = (i_shard + 1) * n_images // n_shards
            for i in range(first, last):
                x_BPD = torch.from_numpy(x_NPD[i : i + 1])
                shard.write(i - first, LAYER, x_BPD, None)
                shard.write(i - first, 9, torch.zeros_like(x_BPD), None)
            first = last
        paths.append(path)
    return paths


def slow_read(paths):
    """What h5py reads, with the images in the order of the shards' numbers."""
    parts = []
    for path in paths:
        with h5py.File(path) as file:
            parts.append(
                (file.attrs["i_shard"], file[f"layer{LAYER}/patches"][:].astype("f4"))
            )
    return np.concatenate([part for _, part in sorted(parts, key=lambda p: p[0])])


datasets = st.fixed_dictionaries(
    {
        "n_images": st.integers(1, 9),
        "n_patches": st.integers(1, 70),
        "width": st.integers(1, 5),
        "n_shards": st.integers(1, 4),
        "dtype": st.sampled_from(["float32", "float16"]),
    }
)


class Opened:
    """A data set in a folder of its own, opened, and as h5py reads it."""

    def __init__(self, *, n_images, n_patches, width, n_shards, dtype):
        self.x_NPD = patches_of(n_images, n_patches, width, dtype)
        self.n_shards = min(n_shards, n_images)
        self.dtype = dtype

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        paths = write_dataset(
            self.folder.name, self.x_NPD, self.n_shards, dtype=self.dtype
        )
        np.testing.assert_array_equal(slow_read(paths), self.x_NPD)
        self.acts = Activations.open(paths[::-1], LAYER)
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


@given(dataset=datasets, block=st.integers(1, 11))
@settings(max_examples=60, deadline=None)
def test_blocks_hold_the_images_in_order(dataset, block):
    with Opened(**dataset) as opened:
        blocks = list(opened.acts.blocks(block))
        assert [i for i, _ in blocks] == list(range(0, len(opened.x_NPD), block))
        read_NPD = torch.cat([x_BPD for _, x_BPD in blocks])
        assert read_NPD.dtype == torch.float32
        np.testing.assert_array_equal(read_NPD, opened.x_NPD)


@given(dataset=datasets, data=st.data())
@settings(max_examples=60, deadline=None)
def test_listed_patches_come_in_the_order_listed(dataset, data):
    with Opened(**dataset) as opened:
        n_images, n_patches, _ = opened.x_NPD.shape
        pairs = data.draw(
            st.lists(
                st.tuples(st.integers(0, n_images - 1), st.integers(0, n_patches - 1)),
                max_size=20,
            )
        )
        i_image_M, i_patch_M = np.array(pairs, np.int64).reshape(-1, 2).T
        read_MD = opened.acts.read_patches(i_image_M, i_patch_M)
        np.testing.assert_array_equal(read_MD, opened.x_NPD[i_image_M, i_patch_M])


@given(dataset=datasets, data=st.data())
@settings(max_examples=60, deadline=None)
def test_listed_images_come_whole_and_in_the_order_listed(dataset, data):
    with Opened(**dataset) as opened:
        images = st.integers(0, len(opened.x_NPD) - 1)
        i_image_N = np.array(data.draw(st.lists(images, max_size=12)), np.int64)
        read_NPD = opened.acts.read_images(i_image_N)
        assert read_NPD.dtype == torch.float32
        np.testing.assert_array_equal(read_NPD, opened.x_NPD[i_image_N])


@given(
    dataset=datasets,
    batch_size=st.integers(1, 90),
    n_mixed=st.integers(1, 300),
    first_batch=st.integers(0, 12),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=30, deadline=None)
def test_random_batches_deal_each_patch_once_per_epoch_and_can_start_anywhere(
    dataset, batch_size, n_mixed, first_batch, seed
):
    with Opened(**dataset) as opened:
        x_MD = opened.x_NPD.reshape(-1, dataset["width"])
        n_batches = 2 * -(-len(x_MD) // batch_size)  # two epochs and a bit

        def batches(first):
            return RandomBatches(
                opened.acts,
                batch_size=batch_size,
                seed=seed,
                n_mixed=n_mixed,
                first_batch=first,
            )

        read = torch.cat(list(islice(batches(0), n_batches)))
        for epoch in range(2):
            of_epoch = read[epoch * len(x_MD) : (epoch + 1) * len(x_MD)].numpy()
            np.testing.assert_array_equal(sorted_rows(of_epoch), sorted_rows(x_MD))
        # What is skipped need not be read, and changes nothing after it.
        resumed = torch.cat(list(islice(batches(first_batch), 2)))
        whole = torch.cat(list(islice(batches(0), first_batch + 2)))
        assert torch.equal(resumed, whole[first_batch * batch_size :])


@given(
    dataset=datasets,
    batch_size=st.integers(1, 90),
    n_mixed=st.integers(1, 300),
    first_batch=st.integers(0, 12),
    every=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
def test_batches_with_places_are_the_same_batches_and_say_where_each_patch_lies(
    dataset, batch_size, n_mixed, first_batch, every
):
    with Opened(**dataset) as opened:
        chosen = np.arange(dataset["n_images"])[::every][::-1].copy()
        n_patches = dataset["n_patches"]
        n_of_epoch = len(chosen) * n_patches
        n_batches = -(-n_of_epoch // batch_size)

        def batches(first):
            return RandomBatches(
                opened.acts,
                batch_size=batch_size,
                seed=7,
                n_mixed=n_mixed,
                first_batch=first,
                images=chosen,
            )

        plain = torch.cat(list(islice(batches(0), n_batches)))
        x_MD, place_M = map(
            torch.cat, zip(*islice(batches(0).with_places(), n_batches), strict=True)
        )
        assert torch.equal(x_MD, plain)
        i_image_M, i_patch_M = np.divmod(place_M.numpy(), n_patches)
        read_MD = opened.acts.read_patches(i_image_M, i_patch_M)
        np.testing.assert_array_equal(read_MD, x_MD)
        all_places = chosen[:, None] * n_patches + np.arange(n_patches)
        np.testing.assert_array_equal(
            np.sort(place_M[:n_of_epoch]), np.sort(all_places.ravel())
        )
        whole = list(islice(batches(0).with_places(), first_batch + 1))
        resumed = next(batches(first_batch).with_places())
        assert all(map(torch.equal, resumed, whole[-1]))


def test_random_batches_draw_on_the_images_listed_and_no_others(tmp_path):
    with Opened(
        n_images=9, n_patches=5, width=3, n_shards=2, dtype="float32"
    ) as opened:
        chosen = np.array([1, 4, 5, 8])
        expected = opened.x_NPD[chosen].reshape(-1, 3)
        batches = RandomBatches(
            opened.acts, batch_size=4, seed=0, n_mixed=7, first_batch=0, images=chosen
        )
        read = torch.cat(list(islice(batches, 10))).numpy()
        for epoch in (read[:20], read[20:]):
            np.testing.assert_array_equal(sorted_rows(epoch), sorted_rows(expected))


def sorted_rows(x_MD):
    return x_MD[np.lexsort(x_MD.T)]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_reader_gives_the_same_bytes_whatever_the_number_of_shards(
    tmp_path, dtype
):
    x_NPD = patches_of(23, 49, 8, dtype)
    digests = set()
    for n_shards in (1, 2, 5, 23):
        folder = tmp_path / str(n_shards)
        acts = Activations.open(
            write_dataset(folder, x_NPD, n_shards, dtype)[::-1], LAYER
        )
        assert acts.image_ids == [f"image{i}" for i in range(23)]
        batches = RandomBatches(
            acts, batch_size=100, seed=3, n_mixed=400, first_batch=2
        )
        read = [
            *(x_BPD for _, x_BPD in acts.blocks(4)),
            acts.sample_patches(200, seed=1),
            *islice(batches, 20),
        ]
        digests.add(b"".join(part.numpy().tobytes() for part in read))
    assert len(digests) == 1


def test_seeds_give_different_batches_and_samples(tmp_path):
    acts = Activations.open(write_dataset(tmp_path, patches_of(8, 64, 4)), LAYER)
    samples = {acts.sample_patches(9, seed).numpy().tobytes() for seed in range(5)}
    firsts = {
        next(
            iter(
                RandomBatches(acts, batch_size=9, seed=seed, n_mixed=99, first_batch=0)
            )
        )
        .numpy()
        .tobytes()
        for seed in range(5)
    }
    assert len(samples) == len(firsts) == 5


def test_a_batch_draws_on_nearly_all_of_512_images(tmp_path):
    # Each value says which image it is from.
    image_N = np.arange(512, dtype=np.float32)
    x_NPD = np.tile(image_N[:, None, None], (1, 256, 1))
    acts = Activations.open(write_dataset(tmp_path, x_NPD), LAYER)
    batches = RandomBatches(
        acts, batch_size=4096, seed=0, n_mixed=65_536, first_batch=0
    )
    n_images_B = [len(np.unique(batch_BD)) for batch_BD in islice(batches, 32)]
    assert np.mean(n_images_B) > 500
    # 4,096 patches by pure chance would draw on 512 · (1 − e⁻⁸) = 511.8 images.
    assert min(n_images_B) > 490


def test_patches_of_an_image_are_spread_evenly_over_an_epoch(tmp_path):
    image_N = np.arange(64, dtype=np.float32)
    x_NPD = np.tile(image_N[:, None, None], (1, 128, 1))
    acts = Activations.open(write_dataset(tmp_path, x_NPD), LAYER)
    batches = RandomBatches(acts, batch_size=1024, seed=5, n_mixed=8192, first_batch=0)
    counts_BN = np.array(
        [
            np.bincount(batch_BD[:, 0].numpy().astype(int), minlength=64)
            for batch_BD in islice(batches, 8)
        ]
    )
    # In one pool of the whole data set each batch takes 16 of an image's 128 patches,
    # hypergeometric: variance 16 · 7/8 · 63/64 ≈ 13.8.
    assert counts_BN.mean() == 16
    assert 11 < counts_BN.var() < 17


def test_waiting_for_data_is_counted(tmp_path, monkeypatch):
    acts = Activations.open(write_dataset(tmp_path, patches_of(8, 64, 4)), LAYER)
    batches = RandomBatches(acts, batch_size=64, seed=0, n_mixed=64, first_batch=0)
    monkeypatch.setattr(acts, "read_runs", slowed(acts.read_runs))
    list(islice(batches, 5))
    assert 0.2 < batches.waited_s < 5


def slowed(read):
    """A disk that takes 50 ms for a pool."""

    def slow(*args):
        time.sleep(0.05)
        read(*args)

    return slow


def test_a_prototype_sample_is_the_beginning_of_a_larger_one():
    whole = draw_distinct(10_000, 10_000, seed=7)
    np.testing.assert_array_equal(np.sort(whole), np.arange(10_000))
    for n in (0, 1, 128, 1024, 1025, 5000):
        np.testing.assert_array_equal(draw_distinct(10_000, n, seed=7), whole[:n])


def test_draws_are_uniform_by_chi_square():
    # 4,000 draws of 50 out of 1,000: each number is expected 200 times, with variance
    # 200 · 0.95. The statistic has mean 1,000 and standard deviation √2000 = 45.
    counts = np.zeros(1000)
    for seed in range(4000):
        drawn = draw_distinct(1000, 50, seed)
        assert len(np.unique(drawn)) == 50
        counts[drawn] += 1
    statistic = ((counts - 200) ** 2 / (200 * 0.95)).sum()
    assert 820 < statistic < 1180


def test_drawing_from_a_trillion_patches_takes_little_memory():
    tracemalloc.start()
    drawn = draw_distinct(10**12, 8192, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(drawn)) == 8192
    assert peak < 2e6


def test_a_sample_larger_than_the_data_set_is_refused_with_both_numbers(tmp_path):
    acts = Activations.open(write_dataset(tmp_path, patches_of(3, 4, 2)), LAYER)
    np.testing.assert_array_equal(
        sorted_rows(acts.sample_patches(12, seed=0).numpy()),
        sorted_rows(patches_of(3, 4, 2).reshape(12, 2)),
    )
    with pytest.raises(ValueError, match="13 patches are needed, but there are 12"):
        acts.sample_patches(13, seed=0)


@pytest.mark.parametrize(("image", "patch"), [(3, 0), (-1, 0), (0, 4), (0, -1)])
def test_a_patch_that_does_not_exist_is_refused(tmp_path, image, patch):
    acts = Activations.open(write_dataset(tmp_path, patches_of(3, 4, 2)), LAYER)
    with pytest.raises(
        ValueError,
        match=r"indices go from .*, but the (data set|image) has \d: use 0 to \d",
    ):
        acts.read_patches(np.array([0, image]), np.array([0, patch]))


@pytest.mark.parametrize("image", [3, -1])
def test_an_image_that_does_not_exist_is_refused(tmp_path, image):
    acts = Activations.open(write_dataset(tmp_path, patches_of(3, 4, 2)), LAYER)
    with pytest.raises(
        ValueError, match=r"image indices go from .*, but the data set has 3"
    ):
        acts.read_images(np.array([0, image]))


def test_memory_stays_bounded_on_a_data_set_larger_than_the_buffers(tmp_path):
    x_NPD = patches_of(512, 64, 256)  # 33.5 MB
    acts = Activations.open(write_dataset(tmp_path, x_NPD, n_shards=3), LAYER)
    tracemalloc.start()
    for _, x_BPD in acts.blocks(4):
        assert len(x_BPD) == 4
    peak_blocks = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    batches = RandomBatches(acts, batch_size=256, seed=0, n_mixed=2048, first_batch=0)
    for batch_BD in islice(batches, 200):
        assert len(batch_BD) == 256
    peak_batches = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    block, batch, pool = 4 * 64 * 1024, 256 * 1024, 2048 * 1024
    assert peak_blocks < 5 * block + 5e5
    assert peak_batches < 2.1 * pool + 5 * batch + 5e5


def test_a_pickled_reader_opens_files_of_its_own(tmp_path):
    x_NPD = patches_of(5, 4, 3)
    acts = Activations.open(write_dataset(tmp_path, x_NPD, n_shards=2), LAYER)
    before = acts.sample_patches(20, seed=0)
    sent = pickle.loads(pickle.dumps(acts))
    assert torch.equal(sent.sample_patches(20, seed=0), before)
    assert sent._descriptors.keys() == {0, 1}
    assert not set(sent._descriptors.values()) & set(acts._descriptors.values())


def test_a_reader_that_has_read_goes_on_in_a_forked_process(tmp_path):
    paths = write_dataset(tmp_path, patches_of(50, 4, 3), n_shards=2)
    script = f"""
        import os, sys, torch
        from pathlib import Path
        from vitproto.activations.stream import Activations
        acts = Activations.open([Path(p) for p in {list(map(str, paths))}], {LAYER})
        def read():
            return torch.cat([x for _, x in acts.blocks(7)])
        before = read()
        child = os.fork()
        same = torch.equal(read(), before)
        if child == 0:
            os._exit(0 if same else 1)
        assert same
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        timeout=60,
        cwd=PROJECT,
    )


def test_no_file_is_open_before_the_first_read_nor_after_the_last(tmp_path):
    def n_open():
        return len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/fd").exists():
        pytest.skip("counts open files by Linux's /proc")
    paths = write_dataset(tmp_path, patches_of(5, 4, 3), n_shards=2)
    before = n_open()
    acts = Activations.open(paths, LAYER)
    assert n_open() == before
    acts.sample_patches(20, seed=0)
    assert n_open() == before + 2
    del acts
    assert n_open() == before


def test_a_loop_left_early_leaves_no_thread_behind(tmp_path):
    acts = Activations.open(write_dataset(tmp_path, patches_of(50, 64, 4)), LAYER)
    before = threading.active_count()
    for _ in acts.blocks(1):
        break
    for _ in RandomBatches(acts, batch_size=8, seed=0, n_mixed=64, first_batch=0):
        break
    assert threading.active_count() == before


def test_a_shard_that_shrinks_while_it_is_read_stops_the_loop(tmp_path):
    paths = write_dataset(tmp_path, patches_of(50, 64, 4), n_shards=2)
    acts = Activations.open(paths, LAYER)
    acts.sample_patches(50, seed=0)  # both files are open now
    os.truncate(paths[1], 5000)
    with pytest.raises(ValueError, match=r"shard-1-of-2\.h5 changed while"):
        list(acts.blocks(5))
    with pytest.raises(ValueError, match=r"shard-1-of-2\.h5 changed while"):
        list(RandomBatches(acts, batch_size=8, seed=0, n_mixed=640, first_batch=0))


def test_a_shard_replaced_between_opening_and_reading_is_noticed(tmp_path):
    x_NPD = patches_of(5, 4, 3)
    acts = Activations.open(write_dataset(tmp_path, x_NPD), LAYER)
    write_dataset(tmp_path, x_NPD)
    with pytest.raises(ValueError, match="changed while it was being read"):
        acts.sample_patches(2, seed=0)


def test_all_shards_must_be_there_once(tmp_path):
    x_NPD = patches_of(8, 4, 3)
    a, b, c, d = write_dataset(tmp_path, x_NPD, n_shards=4)
    with pytest.raises(ValueError, match="shards 1, 3 of 4 are missing"):
        Activations.open([a, c], LAYER)
    copy = shutil.copy(b, tmp_path / "copy.h5")
    with pytest.raises(ValueError, match=r"shard-1-of-4.h5 and .*copy.h5 are both"):
        Activations.open([a, b, c, d, Path(copy)], LAYER)
    with pytest.raises(ValueError, match="no shards were given"):
        Activations.open([], LAYER)


def test_shards_of_different_settings_do_not_mix(tmp_path):
    x_NPD = patches_of(8, 4, 3)
    old = write_dataset(tmp_path / "old", x_NPD, 2, attributes={"code": "abc"})
    new = write_dataset(tmp_path / "new", x_NPD, 2, attributes={"code": "def"})
    with pytest.raises(ValueError, match="code is 'abc' and 'def'"):
        Activations.open([old[0], new[1]], LAYER)
    plain = write_dataset(tmp_path / "plain", x_NPD, 2)
    with pytest.raises(ValueError, match="code is 'abc' and None"):
        Activations.open([old[0], plain[1]], LAYER)
    half = write_dataset(tmp_path / "half", x_NPD, 2, dtype="float16")
    with pytest.raises(ValueError, match=r"\(4, 3, 'float32'\) and \(4, 3, 'float16'"):
        Activations.open([plain[0], half[1]], LAYER)
    fewer = write_dataset(tmp_path / "fewer", x_NPD[:6], 2)
    with pytest.raises(ValueError, match=r"image_ids_sha256 is .* and "):
        Activations.open([plain[0], fewer[1]], LAYER)


def test_an_image_that_stands_in_two_shards_is_named_with_both(tmp_path):
    ids = [*"abcdefg", "b"]
    paths = write_dataset(tmp_path, patches_of(8, 4, 3), 2, image_ids=ids)
    with pytest.raises(ValueError, match=r"'b' is in .*shard-0.* and in .*shard-1"):
        Activations.open(paths, LAYER)


def test_all_finite_float16_values_widen_exactly():
    raw = np.arange(2**16, dtype=np.uint16).view(np.float16)
    raw = raw[np.isfinite(raw)]
    np.testing.assert_array_equal(widened(raw), raw.astype(np.float32))
