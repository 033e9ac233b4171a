"""What a job keeps while it runs is deleted when it ends, but nothing of other jobs."""

import os

from owners import ended_owner, owner_of

from vitproto.core.files import whole_file
from vitproto.core.unfinished import Unfinished


def test_all_that_was_kept_is_forgotten(tmp_path):
    output = tmp_path / "counts.h5"
    mine, other_code = Unfinished(output, {"k": 1}), Unfinished(output, {"k": 2})
    for unfinished in (mine, other_code):
        with whole_file(unfinished.path("class3", ".h5")) as partial:
            partial.write_text("counts")
    left = mine.folder / f".partial-{ended_owner()}-class4.h5"
    left.write_text("half")
    mine.forget()
    assert [*tmp_path.iterdir()] == []
    mine.forget()  # there is nothing


def test_a_job_that_ends_takes_nothing_from_one_that_writes(tmp_path):
    """As after `kill -9` of Snakemake: the orphan ends while the next job writes."""
    unfinished = Unfinished(tmp_path / "probes", {})
    state = unfinished.path("state", ".safetensors")
    with whole_file(state) as partial:
        partial.write_text("state")
        beside = partial.with_name(f".partial-{owner_of(os.getppid())}-{state.name}")
        partial.rename(beside)  # as another process writes it
        unfinished.forget()
        beside.rename(partial)
    assert state.read_text() == "state"
    unfinished.forget()
    assert not unfinished.folder.exists()
