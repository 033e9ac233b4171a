"""All forms of files that are read, each written whole, with what reads it."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ap_rows import ap_rows
from autoencoders import random_autoencoder, write_family
from planted import sae_settings
from recorded import LAYER, TOY, write_shards
from safetensors.torch import save_file
from segmentation_planted import CFG, planted_scene

from vitproto.activations.fetched import Fetched, HubFile, read_fetched, write_fetched
from vitproto.activations.image_digests import read_image_digests, read_image_ids
from vitproto.activations.stream import Activations
from vitproto.activations.weights_file import read_weights
from vitproto.core.hdf5_file import whole_hdf5, write_attributes
from vitproto.core.project import PROJECT
from vitproto.core.unfinished import Unfinished
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
from vitproto.prototypes.checkpoint import FittedRun
from vitproto.prototypes.sae.convergence import read_convergence
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.saelens_format import read_saelens
from vitproto.prototypes.sae.saev_format import read_saev
from vitproto.prototypes.sae.start import first_decoder, measure_scaling
from vitproto.prototypes.sae.states import States
from vitproto.report.saes.frequencies import read_frequencies
from vitproto.report.shared.links import read_note
from vitproto.report.shared.typed_csv import read_typed, write_csv
from vitproto.report.traits.ap_table import read_rows
from vitproto.report.traits.statistics import PAIRS
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
from vitproto.study.family import Family, ScoredFamily
from vitproto.study.read_study import read_study
from vitproto.study.run import Run
from vitproto.traits.ceiling_scores import (
    add_scores,
    create_ceiling_scores,
    open_ceiling_scores,
)
from vitproto.traits.chosen_scores import open_chosen_of, write_chosen
from vitproto.traits.fitted_probes import TraitProbes
from vitproto.traits.pooled_file import PooledLayer, create_pooled, read_pooled
from vitproto.traits.score_file import open_scores, read_scores
from vitproto.traits.write_scores import create_scores

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


def all_forms(root: Path) -> dict[str, Form]:
    """All forms, by name, each in a folder of its own."""
    return {
        **data_sets(root),
        **tables_of_scores(root),
        **our_files(root),
        **files_of_others(root),
    }


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


def tables_of_scores(root):
    folder = root / "scored"
    folder.mkdir()
    rng = np.random.default_rng(0)
    acts = Activations.open(write_shards(folder, rng.random((6, 4, 5)), 1), LAYER)
    family, layer = Family("tiny", LAYER, "toy"), PooledLayer("birds", "tiny", LAYER)
    scored = ScoredFamily(**asdict(TOY), dataset="birds")
    run = Run(3, 0)
    fit = FittedRun(run.name, "k3.safetensors", "ab" * 32)
    scores, chosen, pooled, ceiling, latents = (
        folder / f"{name}.h5"
        for name in ("scores", "chosen", "pooled", "ceiling", "latents")
    )
    with create_scores(scores, scored, acts, [fit], "code") as (table,):
        table[:] = rng.random((6, 3))
    with (
        open_scores(scores, scored, [run.name]) as whole,
        write_chosen(chosen, whole, "code") as writer,
    ):
        writer.add(run, np.array([0, 2]), read_scores(whole, run))
    with create_pooled(pooled, layer, acts.image_ids, 5, "code") as tables:
        for table in tables:
            table[:] = rng.random((6, 5))
    probes = TraitProbes(
        *(6, 0, 0.1, np.ones(2, bool), np.ones(2), np.ones(2), np.ones(2)),
        rng.random((3, 2), np.float32),
    )
    names = acts.image_ids[:3], ["beak", "wing"]
    with create_ceiling_scores(ceiling, layer, *names, "code") as file:
        add_scores(file, "max", [probes])
    with whole_hdf5(latents) as file:
        write_attributes(file, {**family._asdict(), "n_patches": 24})
        file[f"{run.name}/frequency_S"] = rng.random(3)
    ap = ap_rows(["beak", "wing"], [[0.5, 0.25]])
    rows = ap.assign(
        **{"dataset": "birds", "encoder": "tiny", "layer": LAYER, "method": "toy"},
        **{"n_prototypes": 3, "seed": 0, "prototype": [0, 2]},
        **{"learning_rate": np.nan, "sparsity": np.nan},
    )
    pairs = folder / "method_pairs.csv"
    values = {"str": "toy", "int64": 3, "float64": 0.25}
    write_csv(pd.DataFrame([{name: values[t] for name, t in PAIRS.items()}]), pairs)
    pages = folder / "pages"
    pages.mkdir()
    note = pages / "pictures.json"
    note.write_text('{"traits": [{"name": "beak", "pictures": 3}], "page": "a.html"}')
    states = States(folder / "states")
    settings = sae_settings(n_scaling=24)
    scaling = measure_scaling(acts, np.arange(6), settings)
    rows_SD = first_decoder(acts, np.arange(6), settings, scaling, 3, 0)
    learner = Learner.begin(Run(3, 0, 0.003, 2.0), settings, scaling, rows_SD)
    states.write({"toy": learner})
    states.log_path("toy").write_text("step\n")
    (state,) = states.folder.glob("*.safetensors")

    def read_scored(path):
        with open_scores(path, scored, [run.name]) as file:
            return read_scores(file, run), file.image_ids

    def read_chosen_scores(path):
        with open_chosen_of(path, rows) as file:
            return file.scores_of(rows), file.image_ids

    def read_ceiling(path):
        with open_ceiling_scores(path, layer) as file:
            return file.read("max", 6, 0), file.image_ids, file.trait_names

    def read_state(_):
        found = States(folder / "states").read("toy")
        return None if found is None else [found[name] for name in sorted(found)]

    def checked(path, read):
        return Form([path], lambda: read(path), is_checked=True)

    return {
        "scores": checked(scores, read_scored),
        "chosen scores": checked(chosen, read_chosen_scores),
        "pooled activations": checked(pooled, lambda path: read_pooled(path, layer)),
        "scores of probes": checked(ceiling, read_ceiling),
        "frequencies of latents": checked(
            latents, lambda path: read_frequencies([path])
        ),
        "comparisons": Form([pairs], lambda: read_typed(pairs, PAIRS, may_be_empty=())),
        "a note of pages": Form(
            [note], lambda: read_note(pages, note.name, "show_features")
        ),
        "a state of a training": checked(state, read_state),
        "a list of states": Form(
            [states.folder / "index.json"],
            lambda: read_state(None),
            said=(str(states.folder),),
        ),
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
