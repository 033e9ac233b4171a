"""SLURM jobs of an earlier run are recognised by what they make."""

import base64
import json
import shlex
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_interface_executor_plugins.utils import TargetSpec

from vitproto.slurm import commands
from vitproto.slurm.commands import LiveJob
from vitproto.slurm.running_elsewhere import made_by, refusals

STARTS = "/env/bin/python -m snakemake --snakefile '/home/Snakefile' --target-jobs "
REST = (
    " --allowed-rules {rules} --cores 8 --attempt 1 --force-use-threads "
    "--wait-for-files '/home/.snakemake/tmp.k8' 'results/data/birds' --force "
    "--nolock --rerun-triggers input mtime --conda-frontend 'conda'"
    "{configs} --set-resources base64//Zml0X3NhZTpydW50aW1lPTE= "
    "--executor slurm-jobstep --jobs 1 --mode 'remote'"
)
CONFIG = " --configfiles /home/birds.yaml"
BIRDS = "record_activations:dataset=birds,encoder=vit,i_shard=0000{}"
PCA = "fit_pca:encoder=vit,layer=3,method=pca"


def script(*targets: str, configs: str = CONFIG) -> str:
    """A batch script of `sbatch --wrap`, as SLURM keeps it."""
    words = " ".join(map("'{}'".format, targets))
    command = STARTS + words + REST.format(rules="any", configs=configs)
    return f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{command}\n"


def array(*targets: str) -> str:
    """A batch script of an array: the first member as text, the others packed."""
    first, *others = targets
    packed = {
        str(i): zlib.compress(script(target).encode(), level=9).hex()
        for i, target in enumerate(others, start=2)
    }
    payload = base64.b64encode(json.dumps(packed).encode()).decode()
    return f"{script(first)} --slurm-jobstep-array-execs={shlex.quote(payload)}\n"


def test_a_single_job_and_its_configuration_are_read():
    assert made_by(script(PCA)) == (frozenset({PCA}), (Path("/home/birds.yaml"),))


def test_a_job_that_names_no_configuration_has_the_default_one():
    assert made_by(script(PCA, configs="")).configs == ()


def test_a_group_makes_what_all_its_members_do():
    targets = {BIRDS.format(i) for i in range(8)}
    assert made_by(script(*targets)).targets == targets


def test_an_array_makes_what_all_its_members_do():
    targets = {BIRDS.format(i) for i in range(8)}
    assert made_by(array(*targets)).targets == targets


@pytest.mark.parametrize(
    "text", ["", "#!/bin/bash\nsnakemake --profile profiles/slurm"]
)
def test_a_script_that_snakemake_did_not_write_makes_nothing(text):
    assert made_by(text).targets == frozenset()


def test_rules_without_wildcards_and_values_with_quotes_are_read():
    found = made_by(script("tabulate_map:", "'list_it:dataset=a b'"))
    assert "tabulate_map:" in found.targets


class Job(SimpleNamespace):
    """The used part of Snakemake's job."""

    __hash__ = object.__hash__

    def get_target_spec(self) -> list[TargetSpec]:
        return [TargetSpec(self.rule, self.wildcards)]


def job(target: str, *output: str) -> Job:
    """A job that makes files."""
    rule, words = target.split(":")
    wildcards = dict(word.split("=") for word in words.split(",") if word)
    return Job(rule=rule, wildcards=wildcards, output=output)


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Ask why a run of the study `birds` may not start."""
    for name in ("birds", "fish"):
        (tmp_path / f"{name}.yaml").write_text(f"study: {name}\n")
    jobs = [
        job(PCA, "results/birds/vit/layer3/pca/checkpoints.json"),
        *(job(BIRDS.format(i), f"/activations/vit/{i}.h5") for i in range(8)),
    ]

    def refused(text: str, folder: Path = tmp_path) -> list[str]:
        monkeypatch.setattr(commands, "script_of", lambda number: text)
        live = [LiveJob("17", "PENDING", "Priority", "rule_fit_pca", folder)]
        return refusals(jobs, "birds", tmp_path, tmp_path / "birds.yaml", live)

    return refused


def test_a_job_that_makes_the_same_is_named_with_what_to_do(ask):
    assert ask(script(PCA, configs="")) == [
        "jobs of an earlier run are still making the same files: 17 (fit_pca "
        "encoder=vit layer=3 method=pca): wait until squeue no longer lists them, or "
        "cancel them: scancel 17"
    ]


def test_of_a_group_only_some_of_what_it_makes_is_named(ask):
    targets = (BIRDS.format(i) for i in range(8))
    (said,) = ask(script(*targets, configs=" --configfiles birds.yaml"))
    assert said.count("record_activations") == 3
    assert "i_shard=00002 and 5 more)" in said


def test_one_member_of_an_array_is_enough(ask):
    (said,) = ask(array(BIRDS.format(9), BIRDS.format(1)))
    assert "17 (record_activations dataset=birds encoder=vit i_shard=00001)" in said


def test_other_jobs_are_no_trouble(ask, tmp_path):
    assert ask(script("fit_sae:encoder=vit,layer=3,method=topk")) == []
    assert ask(script(PCA), tmp_path / "another") == []
    assert ask("#!/bin/bash\nsleep 600\n") == []
    (tmp_path / "link").symlink_to(tmp_path)
    assert ask(script(PCA), tmp_path / "link") != []


def test_another_study_makes_other_files_but_for_those_that_studies_share(
    ask, tmp_path
):
    fish = f" --configfiles {tmp_path}/fish.yaml"
    assert ask(script(PCA, configs=fish)) == []
    assert ask(script(BIRDS.format(1), configs=fish)) != []
    # Nobody can tell of a configuration that is gone.
    assert ask(script(PCA, configs=f" --configfiles {tmp_path}/gone.yaml")) != []
