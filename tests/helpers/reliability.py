"""Edits of a finished study, and failures of the run that follows."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file
from study_copy import PROJECT, copy_project

TABLE = "results/micro/map_table.md"
STUDY = ("--configfile", "micro.yaml", "--cores", "2")
CUB = "birds/CUB_200_2011"
RANDOM = "results/micro/tiny-vit/layer3/random"

# The rules of each step and of all later ones, for the two families of the study.
CHOOSING = [
    *(*["select_prototypes"] * 2, *["permute_labels"] * 2),
    *("compare_methods", "tabulate_map"),
]
SCORING = [*["score_images"] * 2, *CHOOSING]
FITTING = ["fit_random", "fit_kmeans", *SCORING]
LABELLING = ["read_traits", "probe_traits"]
ACTIVATIONS = ["pool_activations", "probe_traits", *FITTING]
RECORDING = [*["record_activations"] * 2, *ACTIVATIONS]


def replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Edit a file of the project in one place."""

    def edit(workdir: Path) -> None:
        path = workdir / file
        assert path.read_text().count(old) == 1, (file, old)
        path.write_text(path.read_text().replace(old, new))

    return edit


def correct_a_label(workdir: Path) -> None:
    """Correct a label of the most frequent trait, so that its selection changes."""
    path = workdir / CUB / "attributes/image_attribute_labels.txt"
    lines = path.read_text().splitlines()
    shown = [line.split() for line in lines if line.split()[2] == "1"]
    ((trait, _),) = Counter(words[1] for words in shown).most_common(1)
    i = next(i for i, line in enumerate(lines) if line.split()[1:3] == [trait, "1"])
    words = lines[i].split()
    lines[i] = " ".join([*words[:2], "0", *words[3:]])
    path.write_text("\n".join(lines) + "\n")


def correct_a_split(workdir: Path) -> None:
    """Swap an image for training and one for testing."""
    path = workdir / CUB / "train_test_split.txt"
    lines = path.read_text().splitlines()
    for old, new in ("10", "01"):
        i = next(i for i, line in enumerate(lines) if line.endswith(f" {old}"))
        lines[i] = f"{lines[i][:-1]}{new}!"
    path.write_text("\n".join(lines).replace("!", "") + "\n")


def images(workdir: Path) -> list[Path]:
    return sorted((workdir / CUB / "images").rglob("*.jpg"))


def replace_an_image(workdir: Path) -> None:
    """Replace the first image by a copy of the last, as after a mix-up."""
    first, *_, last = images(workdir)
    Image.open(last).rotate(90).save(first)


def copy_images_without_dates(workdir: Path) -> None:
    for path in (workdir / "birds").rglob("*"):
        if path.is_file():
            copy = path.with_name("copy")
            shutil.copyfile(path, copy)
            copy.replace(path)


def delete_shards(workdir: Path) -> None:
    """Delete shards with their notes, if there are any."""
    shutil.rmtree(workdir / "results/activations", ignore_errors=True)


def free_the_disk_and_copy_images(workdir: Path) -> None:
    delete_shards(workdir)
    copy_images_without_dates(workdir)


def cut_into_three_shards(workdir: Path) -> None:
    delete_shards(workdir)
    replace("micro.yaml", "n_shards: 2", "n_shards: 3")(workdir)


def train_the_encoder_further(workdir: Path) -> None:
    train_further(workdir / "encoders/demo/open_clip_model.safetensors")


def train_further(path: Path) -> None:
    """Move the weights in a file a little."""
    noise = np.random.default_rng(0)
    weights = load_file(path)
    for name, values in weights.items():
        if name.startswith("visual.transformer"):
            moved = values + 0.05 * noise.standard_normal(values.shape)
            weights[name] = moved.astype(values.dtype)
    save_file(weights, path)


def move_a_module(workdir: Path) -> None:
    """Move `core/files.py` to `disk/whole.py`, and change all imports of it."""
    folder = workdir / "vitproto/disk"
    folder.mkdir()
    (folder / "__init__.py").touch()
    shutil.move(workdir / "vitproto/core/files.py", folder / "whole.py")
    for part in ("vitproto", "scripts"):
        for file in (workdir / part).rglob("*.py"):
            text = file.read_text()
            moved = re.sub(r"\bvitproto\.core\.files\b", "vitproto.disk.whole", text)
            if moved != text:
                file.write_text(moved)


def delete_results(workdir: Path) -> None:
    """Delete a table and one of its inputs."""
    for path in (workdir / TABLE, workdir / RANDOM / "ap.csv"):
        path.unlink()


def forget_what_snakemake_knows(workdir: Path) -> None:
    shutil.rmtree(workdir / ".snakemake")


@dataclass(frozen=True)
class Edit:
    """An edit of a finished study."""

    apply: Callable[[Path], None]
    reruns: list[str]
    """The rules that must run again, once per job; no others may."""
    arguments: tuple[str, ...] = ()
    """Extra arguments for the first run after the edit."""


EDITS = {
    "code: image scores": Edit(
        replace(
            "vitproto/traits/image_scores.py",
            "torch.amax(products_KM",
            "torch.amin(products_KM",
        ),
        SCORING,
    ),
    "code: label loader": Edit(
        replace(
            "vitproto/data/label_rule.py",
            "code % PRESENT, self.present)",
            "code % PRESENT, self.present[1:])",
        ),
        [*LABELLING, *CHOOSING],
    ),
    "code: lister that lists the same": Edit(
        replace(
            "vitproto/data/cub200_images.py",
            "layout = find_layout(root)",
            "layout = find_layout(Path(root))",
        ),
        ["list_cub200"],
    ),
    "code: check of images that finds the same": Edit(
        replace("vitproto/checks/files.py", "4 * n_workers", "3 * n_workers"),
        ["check_images"],
    ),
    "setting: rounds of k-means": Edit(
        replace("micro.yaml", "n_iters: 5", "n_iters: 1"),
        [
            *("fit_kmeans", "score_images", "select_prototypes", "permute_labels"),
            *("compare_methods", "tabulate_map"),
        ],
    ),
    "data: a corrected label": Edit(correct_a_label, [*LABELLING, *CHOOSING]),
    "data: a corrected split": Edit(
        correct_a_split, ["list_cub200", *LABELLING, *FITTING]
    ),
    "data: another image": Edit(
        replace_an_image, ["check_images", "record_activations", *ACTIVATIONS]
    ),
    "weights: trained further": Edit(train_the_encoder_further, RECORDING),
    "force: --forcerun score_images": Edit(
        lambda workdir: None, SCORING, ("--forcerun", "score_images")
    ),
    "deletion: the table and an ap.csv": Edit(
        delete_results, ["select_prototypes", "tabulate_map"]
    ),
    "comment": Edit(
        replace(
            "vitproto/traits/average_precision.py",
            "# no tie: count and sum in one pass",
            "# a comment",
        ),
        [],
    ),
    "message of an error": Edit(
        replace("vitproto/activations/sharding.py", "cannot fill", "are too few for"),
        [],
    ),
    "module that moves": Edit(move_a_module, []),
    "data: copied without dates": Edit(copy_images_without_dates, []),
    "data: copied without dates, shards deleted": Edit(
        free_the_disk_and_copy_images, []
    ),
    "setting: number of shards": Edit(cut_into_three_shards, []),
    "Snakemake's memory deleted": Edit(forget_what_snakemake_knows, []),
}

# Stages read this when they start: Python imports it from the folder of the Snakefile.
SABOTAGE = '''
import os, signal, sys

kind, _, stage = os.environ.get("SABOTAGE", "").partition(" ")
is_stage = any(a.endswith(f"scripts/{stage}.py") for a in sys.orig_argv[:2])
mark = os.environ.get("SABOTAGED", "")


def strike():
    """Once: other jobs of the rule, and later tries, are left alone."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if kind == "exception":
        raise OSError(28, "No space left on device")
    elif kind == "stage":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "time":
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    elif kind == "group":
        os.killpg(0, signal.SIGKILL)
    elif kind in ("main", "interrupt"):
        main = int(os.environ["MAIN_PID"])
        os.kill(main, signal.SIGKILL if kind == "main" else signal.SIGINT)
        import time
        time.sleep(1)


if kind and is_stage:
    replace = os.replace

    def sabotaged(old, new):
        """Before the first result of a stage appears."""
        strike()
        replace(old, new)

    os.replace = sabotaged
'''

FAILURES = {
    "exception": "the disk is full",
    "stage": "SIGKILL of the stage",
    "time": "SIGTERM of the stage",
    "group": "SIGKILL of everything",
    "main": "SIGKILL of Snakemake alone",
    "interrupt": "Ctrl-C",
    "refused": "refused input",
}
"""Ways in which a run may fail, with their names in tables."""


@dataclass
class Run:
    """The result of a run of the study."""

    failed: bool
    said: str
    finished: Counter[str] = field(default_factory=Counter)
    """The rules of jobs that succeeded."""


def make_study(folder: Path) -> Path:
    """A copy of the project with the smallest study and its data, not yet run."""
    workdir = copy_project(folder)
    shutil.copy2(PROJECT / "tests/workflow/micro.yaml", workdir)
    (workdir / "sitecustomize.py").write_text(SABOTAGE)
    subprocess.run(
        [
            *(sys.executable, "scripts/draw_demo_birds.py", "--root", "birds"),
            *("--n_species", "4", "--n_images_per_species", "6"),
            *("--image_size", "64", "--seed", "0", "--n_workers", "1"),
        ],
        cwd=workdir,
        env={**os.environ, "PYTHONPATH": str(workdir)},
        check=True,
        capture_output=True,
    )
    return workdir


def run(workdir: Path, *arguments: str, sabotage: str = "", target: str = TABLE) -> Run:
    """Run the study; `sabotage` is a kind of failure and the stage that fails.

    The library of this checkout is not on the paths of the run.
    """
    log = workdir / "said.txt"
    mark = workdir / "sabotaged"
    mark.unlink(missing_ok=True)
    bin_folder = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": bin_folder, "HF_HUB_OFFLINE": "1"}
    env.pop("PYTHONPATH", None)
    # `exec` keeps the process ID, which the stage reads.
    command = 'MAIN_PID=$$ exec snakemake "$@"'
    with log.open("w") as file:
        process = subprocess.Popen(
            ["bash", "-c", command, "bash", target, *STUDY, *arguments],
            cwd=workdir,
            env={**env, "SABOTAGE": sabotage, "SABOTAGED": str(mark)},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Tests that run in the background ignore Ctrl-C, and so would the run.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        status = process.wait()
        _wait_for_stages(process.pid)
    said = log.read_text()
    if sabotage:
        assert mark.exists(), f"{sabotage} never struck:\n{said}"
    rules = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", said, re.M)
    return Run(status != 0, said, Counter(rules))


def _wait_for_stages(session: int, at_most_s: float = 60) -> None:
    """Wait for stages whose Snakemake was killed."""
    end = time.time() + at_most_s
    while time.time() < end:
        if not _alive(session):
            return
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)
    raise AssertionError(f"stages of session {session} go on")


def _alive(session: int) -> bool:
    found = subprocess.run(
        ["ps", "-o", "stat=", "-s", str(session)], capture_output=True, text=True
    )
    return any(not line.startswith("Z") for line in found.stdout.split())


def run_into(workdir: Path, edit: Edit, failure: str, stage: str) -> tuple[Run, Run]:
    """Apply an edit, let the run that follows fail, and run again as documented."""
    edit.apply(workdir)
    if failure == "refused":
        first = _run_with_damaged_labels(workdir, *edit.arguments)
    else:
        sabotage = f"{failure} {stage}"
        first = run(workdir, *edit.arguments, sabotage=sabotage)
    assert first.failed, first.said
    if failure in ("main", "group"):
        unlocked = run(workdir, "--unlock")
        assert not unlocked.failed, unlocked.said
    second = run(workdir)
    assert not second.failed, second.said
    return first, second


def _run_with_damaged_labels(workdir: Path, *arguments: str) -> Run:
    path = workdir / CUB / "attributes/image_attribute_labels.txt"
    whole = path.read_bytes()
    path.write_bytes(whole + b"one two\n")
    found = run(workdir, *arguments)
    path.write_bytes(whole)
    assert "image_attribute_labels.txt, line" in found.said, found.said
    return found


def tables(workdir: Path) -> dict[str, str]:
    """Digests of a study's tables, by file."""
    folder = workdir / "results/micro"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".csv", ".md") and ".origins" not in path.parts
    }
