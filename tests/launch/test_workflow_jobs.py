from types import SimpleNamespace

import snakemake.api  # noqa: F401  # before snakemake.workflow, which imports it

from vitproto.launch.workflow_jobs import NEXT_LINE, settings_of


def how(wildcards, threads):
    return "--device cpu"


def test_settings_that_count_do_not_depend_on_the_layout_of_flags():
    rule = SimpleNamespace(
        params={"flags": "", "runs": [], "n_train": 0, "how": how, "reads": []}
    )
    params = {"runs": ["k4-seed0"], "n_train": 5, "how": "--device cpu", "reads": []}
    in_lines = f"--n_iters 5{NEXT_LINE}--n_sample 1000{NEXT_LINE}--tol 0.1"
    expected = {
        "flags": "--n_iters 5 --n_sample 1000 --tol 0.1",
        "runs": ["k4-seed0"],
        "n_train": 5,
    }
    assert settings_of(rule, {**params, "flags": in_lines}) == expected
    assert settings_of(rule, {**params, "flags": expected["flags"]}) == expected
