"""The profiles name only rules that exist, and each rule that needs a GPU."""

import re

import pytest
import yaml

from vitproto.core.project import PROJECT

PROFILES = sorted((PROJECT / "profiles").glob("*/config.yaml"))


def read_profile(name):
    path = PROJECT / "profiles" / name / "config.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def rules():
    """The text of each rule by its name, without those that only draw the demo."""
    texts = {}
    for path in (PROJECT / "workflow/rules").glob("*.smk"):
        if path.stem != "demo":
            text = path.read_text(encoding="utf-8")
            _, *parts = re.split(r"^rule (\w+):$", text, flags=re.MULTILINE)
            texts |= dict(zip(parts[::2], parts[1::2], strict=True))
    return texts


def rules_with(line):
    """The rules that have a line, such as `gpu=1,`."""
    return {
        name
        for name, text in rules().items()
        if re.search(rf"^ +{line}$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("profile", [path.parent.name for path in PROFILES])
def test_a_profile_names_only_rules_that_exist(profile):
    settings = read_profile(profile)
    named = {
        *settings.get("set-threads", {}),
        *settings.get("set-resources", {}),
        *(words.partition("=")[0] for words in settings.get("groups", [])),
    }
    # A rule is called after its stage.
    assert named <= {path.stem for path in PROJECT.glob("scripts/*.py")}


def test_slurm_sends_each_rule_that_needs_a_gpu_to_its_partition():
    resources = read_profile("slurm")["set-resources"]
    to_gpus = resources["record_activations"]
    on_gpus = {
        rule for rule, own in resources.items() if to_gpus.items() <= own.items()
    }
    gpu_rules = rules_with("gpu=1,")
    assert {"fit_sae", "score_images", "suppress_latents"} <= gpu_rules
    assert on_gpus == gpu_rules


def test_the_demo_runs_each_rule_but_the_last_on_one_core_and_no_gpu():
    demo = read_profile("demo")
    gpu_rules, threaded = rules_with("gpu=1,"), rules_with(r"threads: \d+")
    assert demo["set-resources"] == {rule: {"gpu": 0} for rule in gpu_rules}
    assert demo["set-threads"] == dict.fromkeys(threaded, 1) | {"compare_methods": 2}
