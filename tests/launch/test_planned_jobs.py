"""Threads and GPU of a planned job are those of its rule."""

import pytest
import yaml

from vitproto.core.project import PROJECT
from vitproto.launch.dry_run import dry_run


@pytest.fixture
def planned(tmp_path):
    """Plan the real study with other runs; list the jobs of each rule."""

    def plan(*rows: dict):
        study = yaml.safe_load((PROJECT / "config/config.yaml").read_text())
        study["runs"], study["features"]["runs"] = [*rows], []
        config = tmp_path / "study.yaml"
        config.write_text(yaml.safe_dump(study))
        by_rule = {}
        for job in dry_run(config, PROJECT).planned:
            by_rule.setdefault(job.rule, []).append(job)
        return by_rule

    return plan


ROW = {"encoder": "siglip-vit-l16-256", "layer": 23, "seed": 0, "n_prototypes": 128}


def test_jobs_are_planned_as_their_rules_say(planned):
    jobs = planned({**ROW, "method": "random"})
    shards = jobs["record_activations"]
    assert [job.wildcards["dataset"] for job in shards].count("inat21") == 32
    assert len(shards) == 4 + 32
    assert {(job.n_threads, job.uses_gpu, job.is_local) for job in shards} == {
        (8, True, False)
    }
    (drawn,), (table,) = jobs["fit_random"], jobs["tabulate_map"]
    assert (drawn.n_threads, drawn.uses_gpu, drawn.is_local) == (1, False, False)
    assert (table.uses_gpu, table.is_local) == (False, True)


def test_methods_that_see_no_corpus_record_none(planned):
    shards = planned({**ROW, "method": "gaussian"})["record_activations"]
    assert {job.wildcards["dataset"] for job in shards} == {"cub200"}
    assert len(shards) == 4
