"""The table of SLURM jobs shows what each makes."""

import subprocess
import sys
from pathlib import Path

import pytest

from vitproto.core.project import PROJECT
from vitproto.slurm.queue_text import describe

STARTS = "#!/bin/sh\n\npython -m snakemake --snakefile 'Snakefile' --target-jobs "
SHARDS = " ".join(
    f"'record_activations:dataset=cub200,encoder=siglip,address=b2,i_shard=0000{i},"
    "n_shards=00008'"
    for i in range(8)
)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"tabulate_map:"}, "tabulate_map"),
        ({"fit_pca:encoder=vit,layer=3,method=pca"}, "fit_pca vit 3 pca"),
        (
            {f"score_images:encoder=vit,layer={i},address=7b" for i in (3, 1)},
            "score_images vit 1 and 1 more",
        ),
        (set(), ""),
    ],
)
def test_a_job_is_named_by_its_first_rule_and_family(targets, said):
    assert describe(targets) == said


def shown(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script's output in a folder, with programs from another one."""
    return subprocess.run(
        [sys.executable, PROJECT / "scripts/show_queue.py"],
        cwd=folder,
        env={"PATH": str(path), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def programs(tmp_path) -> Path:
    """A folder with fake programs of SLURM."""
    folder = tmp_path / "bin"
    folder.mkdir()
    lines = (
        f"7|RUNNING|None|1:02:59|rule_record|{tmp_path}",
        f"8|PENDING|Priority|0:00|(null)|{tmp_path}",
        f"9|PENDING|Priority|0:00|(null)|{tmp_path}",
        "10|RUNNING|None|5:00|(null)|/elsewhere",
    )
    answers = {
        "sbatch": "exit 1",
        "sinfo": "",
        "squeue": "\n".join(map("echo '{}'".format, lines)),
        "scontrol": 'case "$*" in *batch_script*)\n'
        f'case "$3" in 7) cat {folder}/7.sh;; 8) echo "#!/bin/bash";; *) exit 1;; esac'
        ";; *) exit 1;; esac",
    }
    (folder / "7.sh").write_text(f"{STARTS}{SHARDS} --allowed-rules any\n")
    for name, answer in answers.items():
        (folder / name).write_text(f"#!/bin/bash\nPATH=/usr/bin:/bin\n{answer}\n")
        (folder / name).chmod(0o755)
    return folder


def test_each_live_job_of_the_folder_has_a_line(programs, tmp_path):
    found = shown(programs, tmp_path)
    assert found.returncode == 0, found.stderr
    _, _, *rows = found.stdout.splitlines()
    assert [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows] == [
        ["7", "RUNNING", "62", "None", "record_activations cub200 siglip and 7 more"],
        ["8", "PENDING", "0", "Priority", "not submitted by Snakemake"],
        ["9", "PENDING", "0", "Priority", "unknown"],
    ]


def test_a_folder_without_jobs_says_so(programs, tmp_path):
    (tmp_path / "other").mkdir()
    found = shown(programs, tmp_path / "other")
    assert found.stdout == f"SLURM has no jobs from {tmp_path / 'other'}.\n"


def test_without_slurm_a_sentence_says_so(programs, tmp_path):
    (programs / "sinfo").unlink()
    found = shown(programs, tmp_path)
    assert found.returncode == 1
    assert found.stderr == (
        "SLURM is not installed on this machine (sinfo not found): log in to the "
        "cluster\n"
    )
    (programs / "sinfo").touch(0o755)
    (programs / "squeue").write_text("#!/bin/bash\necho 'no controller' >&2; exit 1\n")
    found = shown(programs, tmp_path)
    assert found.stderr == "SLURM does not answer: no controller\n"
