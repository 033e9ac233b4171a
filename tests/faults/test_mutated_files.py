"""Whatever is in a file, it is read as it should be, or named in one sentence.

Each form of file is written whole and then mutated: bits flipped, bytes replaced,
removed, doubled or zeroed, the end cut off, or another file in its place. Files with
checksums must be refused, or read as before: never as other data.

`make fault-test` tries 10,000 mutations of each, or `FAULT_INPUTS`; other tests a few.
"""

import io
import json
import os
import random
import shutil
import signal
import traceback
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ap_rows import ap_rows
from autoencoders import random_autoencoder, write_family
from recorded import LAYER, TOY, write_shards
from safetensors.torch import save_file
from segmentation_planted import CFG, planted_scene

from vitproto.activations.fetched import Fetched, HubFile, read_fetched, write_fetched
from vitproto.activations.image_digests import read_image_digests, read_image_ids
from vitproto.activations.stream import Activations
from vitproto.activations.weights_file import read_weights
from vitproto.core.project import PROJECT
from vitproto.core.unfinished import Unfinished
from vitproto.core.unreadable import UnreadableError
from vitproto.data import ade20k, cub200_images, cub200_traits
from vitproto.data.image_list import read_image_list, read_splits
from vitproto.data.label_rule import LabelRule
from vitproto.data.trait_labels import TraitLabels
from vitproto.demo.write_birds import DemoBirds, write_demo_birds
from vitproto.demo.write_scenes import DemoScenes, write_demo_scenes
from vitproto.freshness import origins
from vitproto.freshness.digests import Digests
from vitproto.freshness.origins import Origin
from vitproto.planning.cost_table import read_records
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.sae.convergence import read_convergence
from vitproto.prototypes.sae.saelens_format import read_saelens
from vitproto.prototypes.sae.saev_format import read_saev
from vitproto.report.traits.ap_table import read_rows
from vitproto.segmentation.labels.masks import read_labels
from vitproto.segmentation.labels.patch_labels import (
    read_patch_labels,
    write_patch_labels,
)
from vitproto.segmentation.probes.linear_probe import (
    TrainedProbe,
    load_probe,
    load_probes,
    save_probe,
    save_probes,
)
from vitproto.segmentation.probes.state import ProbeState, Progress
from vitproto.segmentation.suppression.class_directions import (
    load_directions,
    probe_directions,
    save_directions,
)
from vitproto.segmentation.suppression.counts_file import read_counts
from vitproto.segmentation.suppression.edited_logits import AtProbeLayer
from vitproto.segmentation.suppression.kept_classes import KeptClasses
from vitproto.segmentation.suppression.latent_tables import read_activity, read_chosen
from vitproto.segmentation.suppression.recorded_counts import record_counts
from vitproto.segmentation.suppression.suppress import suppress
from vitproto.study.read_study import read_study
from vitproto.study.run import Run

N_INPUTS = int(os.environ.get("FAULT_INPUTS", "40"))
SEED = int(os.environ.get("FAULT_SEED", "0"))
LONGEST_S = 20
"""Reading a small file may take so long; more is a hang."""

RULE = LabelRule(present=(3, 4), unknown=())
RUN = Run(24, 0)


@dataclass(frozen=True)
class Form:
    """A form of files."""

    files: list[Path]
    """What is mutated."""
    read: Callable[[], object]
    """Reads them."""
    is_checked: bool = False
    """Whether checksums tell all changes."""
    said: tuple[str, ...] = ()
    """What messages name, if not the file: a folder, or a file made from it."""


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """All forms, by name, each in a folder of its own."""
    root = tmp_path_factory.mktemp("forms")
    return {**data_sets(root), **our_files(root), **files_of_others(root)}


def data_sets(root):
    drawn = DemoBirds(n_species=4, n_images_per_species=4, image_size=64, seed=0)
    write_demo_birds(root / "birds", drawn, n_workers=1)
    birds = root / "birds/CUB_200_2011"
    attributes = birds / "attributes"
    drawn = DemoScenes(n_species=3, n_training=4, n_validation=4, image_size=64, seed=0)
    write_demo_scenes(root / "scenes", drawn, n_workers=1)
    scenes = root / "scenes/ADEChallengeData2016"
    (scenes / "sceneCategories.txt").write_text("ADE_train_00000001 meadow\n")
    images, splits = root / "images.csv", root / "splits.csv"
    images.write_text("image_id,path\n1,a.jpg\n2,b/c.jpg\n")
    splits.write_text("image_id,split,class_name\n1,train,x\n2,test,y z\n")
    lists = ["images.txt", "train_test_split.txt"]
    labels = cub200_traits.read_traits(birds, RULE)
    labels.save(root / "traits.npz")
    config = root / "study.yaml"
    shutil.copy(PROJECT / "tests/workflow/tiny.yaml", config)
    mask = next((scenes / "annotations/training").iterdir())
    return {
        "lists of birds": Form(
            [birds / name for name in lists],
            lambda: cub200_images.read_images(birds),
            said=(str(birds),),
        ),
        "labels of birds": Form(
            [attributes / "image_attribute_labels.txt"],
            lambda: cub200_traits.read_traits(birds, RULE),
        ),
        "names of classes": Form(
            [*scenes.glob("objectInfo*.txt")], lambda: ade20k.read_classes(scenes)
        ),
        "scenes of images": Form(
            [scenes / "sceneCategories.txt"], lambda: ade20k.read_images(scenes)
        ),
        "a mask": Form([mask], lambda: read_labels(mask, 99)),
        "a list of images": Form([images], lambda: read_image_list(images)),
        "splits": Form([splits], lambda: read_splits(splits)),
        "traits": Form(
            [root / "traits.npz"], lambda: TraitLabels.load(root / "traits.npz")
        ),
        "a study": Form([config], lambda: read_study(config)),
    }


def our_files(root):
    scene = planted_scene()
    folder = root / "ours"
    folder.mkdir()
    n_images = len(scene.x_NPD)
    shards = write_shards(folder, scene.x_NPD, 2)
    acts = Activations.open(shards, LAYER)
    write_patch_labels(folder / "labels.h5", scene.labels, {})
    save_probe(folder / "probe.safetensors", scene.probe, {})
    swept = [TrainedProbe(0.1, 0.0, 1.5, scene.probe)] * 2
    save_probes(folder / "probes.safetensors", swept, {})
    directions = probe_directions(scene.probe)
    save_directions(folder / "directions.safetensors", directions, {})
    manifest = write_family(folder, {RUN: scene.autoencoder})
    stored = folder / f"{RUN.name}.safetensors"
    # Counts, with those of each class kept on the way.
    kept = KeptClasses(Unfinished(folder / "counts.h5", {}))
    results = list(
        suppress(
            *(acts, scene.labels, scene.autoencoder, scene.activity, scene.chosen),
            *(scene.directions_CD, AtProbeLayer(scene.probe)),
            *(torch.device("cpu"), CFG, kept),
        )
    )
    place = {
        **{"encoder": "tiny", "probe_layer": LAYER, "layer": LAYER},
        **{"method": "toy", "run": RUN.name},
    }
    counts = folder / "counts.h5"
    record_counts(counts, results, scene.labels, place, {"doses": CFG.doses}, CFG)
    before, _, first = next(found for found in results if found[2] is not None)
    kept_file = kept.unfinished.path(f"class{first.edits.label}", ".h5")
    state = ProbeState(Unfinished(folder / "probes", {}), 1.0)
    state.write(Progress(3, np.ones(2), 7), [[torch.ones(2, 3), torch.zeros(2)]])
    state_file = state.unfinished.path("state", ".safetensors")
    chosen = folder / "class_latents.csv"
    pd.DataFrame(
        {
            "label": [1, 2],
            "class_name": scene.labels.classes[:2],
            "criterion": "ap",
            "latent": [3, 4],
            "is_chosen": [True, False],
            "note": "",
        }
    ).to_csv(chosen, index=False)
    activity = folder / "latent_activity.csv"
    pd.DataFrame(
        {"latent": range(24), "n_active": range(24), "largest": np.ones(24)}
    ).to_csv(activity, index=False)
    ap = folder / "ap.csv"
    ap_rows(["beak", "wing"], [[0.5, 0.25]]).to_csv(ap, index=False)
    log = folder / "training.csv"
    log.write_text("run,step,n_patches,held_out_nmse\na,1,10,0.5\na,2,20,0.4\n")
    record = folder / "record.tsv"
    record.write_text("s\tmax_rss\n1.5\t200\n")
    jobs = folder / "jobs.csv"
    jobs.write_text(f"stage,record\nfit_sae,{record}\n")
    note = folder / "result"
    note.touch()
    origin = Origin(
        **{"rule": "fit", "wildcards": {}, "command": "fit", "settings": {"k": 4}},
        **{"code": {"a.py": "0"}, "fingerprint": "0", "files": {"b.csv": "1"}},
        **{"jobs_above": {}, "files_above": {}, "by_content": False},
    )
    origins.note(origin, {note: "content"}, {})
    noted = origins._noted_at(note)
    digests = folder / "digests.json"
    known = Digests(digests)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("vitproto.freshness.digests._FRESH_NS", -(10**12))
        known.of(ap)
        known.save()

    def read_shards():
        found = Activations.open(shards, LAYER)
        return found.read_images(np.arange(n_images)), found.image_ids

    def read_all_counts():
        found = read_counts(counts)
        return found, [found.read_class(label) for label in found.labels]

    def restored():
        memory = [[torch.empty(2, 3), torch.empty(2)]]
        return state.restore(memory), memory

    def listed():
        (fit,) = checkpoint.read_manifest(manifest, TOY, [RUN.name])
        return checkpoint.load_as(fit.path, SparseAutoencoder)

    def read_one(path, read):
        return Form([path], lambda: read(path), is_checked=True)

    def ids_and_digests():
        return read_image_ids(shards[0]), read_image_digests(shards[0])

    return {
        "shards": Form([*shards], read_shards, is_checked=True),
        "ids in a shard": Form([shards[0]], ids_and_digests),
        "patch labels": read_one(folder / "labels.h5", read_patch_labels),
        "a probe": read_one(folder / "probe.safetensors", load_probe),
        "probes": read_one(folder / "probes.safetensors", load_probes),
        "directions": read_one(
            folder / "directions.safetensors",
            lambda path: load_directions(path, *directions.shape),
        ),
        "a checkpoint": read_one(
            stored, lambda path: checkpoint.load_as(path, SparseAutoencoder)
        ),
        "a list of checkpoints": Form([manifest], listed, said=(str(folder),)),
        "counts": Form([counts], read_all_counts, is_checked=True),
        "kept counts": Form(
            [kept_file], lambda: kept.read(first.edits, before), is_checked=True
        ),
        "a state of probes": Form([state_file], restored, is_checked=True),
        "latents of classes": Form(
            [chosen], lambda: read_chosen(chosen, scene.labels.classes, 24)
        ),
        "activity of latents": Form([activity], lambda: read_activity(activity, 24)),
        "AP of prototypes": Form(
            [ap],
            lambda: read_rows([ap], None),
            said=("the AP files", "a run has ", "a run lacks "),  # several files
        ),
        "a training log": Form([log], lambda: read_convergence(log)),
        "records of jobs": Form(
            [record, jobs], lambda: read_records(jobs), said=(str(folder),)
        ),
        "a note of origin": Form([noted], lambda: origins.read(note)),
        "known digests": Form([digests], lambda: Digests(digests).of(ap)),
    }


def files_of_others(root):
    folder = root / "others"
    folder.mkdir()
    width, n_latents = 6, 8
    sae = random_autoencoder(n_latents, width)
    saev = folder / "sae.pt"
    header = {"schema": 1, "cls": "Relu", "commit": "5ecb4f1", "lib": "0.1.0"}
    cfg = {"d_vit": width, "exp_factor": 1, "n_reinit_samples": 8, "seed": 0}
    payload = io.BytesIO()
    weights = {
        "W_enc": sae.W_enc_SD[:width].T.contiguous(),
        "b_enc": sae.b_enc_S[:width].clone(),
        "W_dec": sae.W_dec_SD[:width].clone(),
        "b_dec": sae.b_dec_D,
    }
    torch.save(weights, payload)
    saev.write_bytes(json.dumps({**header, "cfg": cfg}).encode() + b"\n")
    with saev.open("ab") as file:
        file.write(payload.getvalue())
    lens, lens_cfg = folder / "sae_weights.safetensors", folder / "cfg.json"
    save_file(weights, lens)
    lens_cfg.write_text(
        json.dumps(
            {
                **{"architecture": "standard", "d_in": width, "d_sae": width},
                **{"apply_b_dec_to_input": True, "normalize_activations": "none"},
            }
        )
    )
    tower = folder / "tower.safetensors"
    save_file(weights, tower)
    pickled = folder / "tower.pt"
    torch.save(weights, pickled)
    fetched = folder / "fetched.json"
    file = HubFile("a/b", "d" * 40, "c.json", 7, "e" * 64)
    write_fetched(fetched, Fetched("hf-hub:a/b", "own", [file]))
    return {
        "saev's": Form([saev], lambda: read_saev(saev)),
        "SAELens'": Form([lens, lens_cfg], lambda: read_saelens(lens, lens_cfg)),
        "weights": Form([tower], lambda: read_weights(tower)),
        "pickled weights": Form([pickled], lambda: read_weights(pickled)),
        "a list of fetched files": Form([fetched], lambda: read_fetched(fetched)),
    }


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
                bad[start] = rng.choice(
                    b"\0\n\r\t,;:\"'{}[]()<>\\/-+.0179eEnN \xff\x80"
                )
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
