"""A stage that prints ends quietly where its reader has enough."""

import subprocess
import sys

import pytest

STAGE = """
import sys
from vitproto.launch.cli import run

def list_numbers(n: int, status: int) -> None:
    \"\"\"List numbers.\"\"\"
    for i in range(n):
        print(i)
    sys.exit(status)

run(list_numbers)
"""


@pytest.mark.parametrize("n", [10, 100_000])  # written at the end, or as it goes
@pytest.mark.parametrize("status", [0, 1])
def test_a_reader_that_leaves_causes_no_traceback(n, status):
    command = [sys.executable, "-c", STAGE, f"--n={n}", f"--status={status}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("status", [0, 3])
def test_a_reader_that_stays_reads_all_and_sees_the_status(status):
    command = [sys.executable, "-c", STAGE, "--n=3", f"--status={status}"]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("0\n1\n2\n", "")
    assert shown.returncode == status


def test_a_reader_may_leave_the_help():
    command = [sys.executable, "-c", STAGE, "--help"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
