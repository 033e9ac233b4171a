"""Progress is legible in logs too."""

import re

from vitproto.core.progress import progress_bar


def test_in_a_log_progress_comes_in_lines(capsys):
    with progress_bar(4, "images") as progress:
        for _ in range(4):
            progress.update(1)
            progress.set_postfix(waiting="3%", refresh=False)
    first, *_, last = capsys.readouterr().err.splitlines(keepends=True)
    assert re.fullmatch(r"0 % of 4 images, [^\r]*\n", first)
    assert re.fullmatch(r"100 % of 4 images, [^\r]*, waiting=3%\n", last)
