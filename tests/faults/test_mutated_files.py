"""Whatever is in a file, it is read as it should be, or named in one sentence.

Each form of file is written whole and then mutated: bits flipped, bytes replaced,
removed, doubled or zeroed, the end cut off, or another file in its place. Files with
checksums must be refused, or read as before: never as other data.

`make fault-test` tries 10,000 mutations of each, or `FAULT_INPUTS`; other tests a few.
"""

import os
import random
import signal
import traceback
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from file_forms import Form, all_forms

from vitproto.core.project import PROJECT
from vitproto.core.unreadable import UnreadableError

N_INPUTS = int(os.environ.get("FAULT_INPUTS", "40"))
SEED = int(os.environ.get("FAULT_SEED", "0"))
LONGEST_S = 20
"""Reading a small file may take so long; more is a hang."""


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """All forms, by name, each in a folder of its own."""
    root = tmp_path_factory.mktemp("forms")
    return all_forms(root)


OTHER_FILES = (b"", b"<!DOCTYPE html><html></html>", b"\x89HDF\r\n\x1a\n", b"{}", b"[]")

TELLING = b"\0\n\r\t,;:\"'{}[]()<>\\/-+.0179eEnN \xff\x80"
"""Bytes that mean something to a parser."""


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Damage a file as disks, networks and hands do."""
    if rng.random() < 0.02:
        return rng.choice(OTHER_FILES)
    bad = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        n = len(bad)
        if n == 0:
            return b""
        start = rng.randrange(n)
        end = min(n, start + rng.choice((1, 1, 4, 16, 512, 4096)))
        match rng.randrange(7):
            case 0:
                bad[start] ^= 1 << rng.randrange(8)
            case 1:
                bad[start] = rng.choice(TELLING)
            case 2:
                bad[start:end] = bytes(end - start)
            case 3:
                del bad[start:end]
            case 4:
                bad[start:start] = bad[start:end]
            case 5:
                del bad[start:]
            case 6:
                bad[start:end] = rng.randbytes(end - start)
    return bytes(bad)


@contextmanager
def within(seconds: int):
    """Fail if the block hangs."""

    def ring(*_):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def digest(value: object) -> str:
    """A text that differs where values do."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{zlib.crc32(np.ascontiguousarray(value))}"
    if isinstance(value, pd.DataFrame | pd.Series):
        return value.to_csv()
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(digest, value))})"
    if hasattr(value, "__dict__") and not isinstance(value, (str, Path, type)):
        return f"{{{', '.join(f'{k}: {digest(v)}' for k, v in vars(value).items())}}}"
    return repr(value)


def read(form: Form) -> tuple[str, Exception | None]:
    """What a form holds, or the error that reading it ends in."""
    try:
        with within(LONGEST_S):
            return digest(form.read()), None
    except Exception as error:
        return "", error


NAMES = [
    *("lists of birds", "labels of birds", "names of classes", "scenes of images"),
    *("a mask", "a list of images", "splits", "traits", "a study"),
    *("scores", "chosen scores", "pooled activations", "scores of probes"),
    *("frequencies of latents", "comparisons", "a note of pages"),
    *("a state of a training", "a list of states"),
    *("shards", "ids in a shard", "patch labels", "a probe", "probes"),
    *("directions", "a checkpoint", "a list of checkpoints", "counts", "kept counts"),
    *("a state of probes", "latents of classes", "activity of latents"),
    *("AP of prototypes", "a training log", "records of jobs", "a note of origin"),
    *("known digests", "saev's", "SAELens'", "weights", "pickled weights"),
    "a list of fetched files",
]


def test_every_form_is_tried(forms):
    assert [*forms] == NAMES


@pytest.mark.filterwarnings("ignore")  # of Pillow, pandas and torch about odd files
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_in_a_file_it_is_read_or_named(forms, name):
    form = forms[name]
    whole = {path: path.read_bytes() for path in form.files}
    expected = digest(form.read())
    n_refused = 0
    for i in range(N_INPUTS):
        rng = random.Random(f"{SEED} {name} {i}")
        path = rng.choice(form.files)
        path.write_bytes(mutate(whole[path], rng))
        where = f"mutation {i} of {path.name}, FAULT_SEED={SEED}"
        found, error = read(form)
        path.write_bytes(whole[path])
        if error is None:
            assert found == expected or not form.is_checked, where
            continue
        n_refused += 1
        told = "".join(traceback.format_exception(error))
        assert isinstance(error, (UnreadableError, ValueError)), f"{where}\n{told}"
        frame = traceback.extract_tb(error.__traceback__)[-1]
        assert str(PROJECT) in frame.filename, f"{where}, not by us\n{told}"
        named = (str(path), *form.said)
        assert any(part in str(error) for part in named), f"{where}\n{told}"
    assert digest(form.read()) == expected
    # What is damaged counts as missing here.
    harmless = {"a note of origin", "known digests", "ids in a shard"}
    assert (n_refused > 0) != (name in harmless)
