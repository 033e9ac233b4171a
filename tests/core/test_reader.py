"""What prints ends quietly where its reader has enough."""

import subprocess
import sys

import pytest

PRINTS = """
import sys
from vitproto.core.reader import reader_may_leave

n, status = map(int, sys.argv[1:])
with reader_may_leave():
    for i in range(n):
        print(i)
    sys.exit(status)
"""


@pytest.mark.parametrize("n", [10, 100_000])  # written at the end, or as it goes
@pytest.mark.parametrize("status", [0, 1])
def test_a_reader_that_leaves_causes_no_traceback(n, status):
    command = [sys.executable, "-c", PRINTS, str(n), str(status)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("status", [0, 3])
def test_a_reader_that_stays_reads_all_and_sees_the_status(status):
    command = [sys.executable, "-c", PRINTS, "3", str(status)]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("0\n1\n2\n", "")
    assert shown.returncode == status
