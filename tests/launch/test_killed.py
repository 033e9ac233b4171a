"""The log of a killed job names the signal."""

import subprocess
import sys

import pytest

from vitproto.launch.killed import log_signal, signal_of

KILL = "import os; os.kill(os.getpid(), {})"


def failure(*command: str) -> subprocess.CalledProcessError:
    """How a command that fails ends."""
    with pytest.raises(subprocess.CalledProcessError) as raised:
        subprocess.run(command, check=True, capture_output=True)
    return raised.value


@pytest.mark.parametrize("number", [9, 11, 15])
def test_a_signal_is_recognised_also_behind_a_shell(number):
    python = (sys.executable, "-c", KILL.format(number))
    assert signal_of(failure(*python)) == number
    assert signal_of(failure("bash", "-c", '"$@"; exit $?', "-", *python)) == number


@pytest.mark.parametrize("status", [1, 2, 127, 128, 255])
def test_a_command_that_ends_by_itself_was_not_killed(tmp_path, status):
    log = tmp_path / "fit_pca.log"
    error = failure("bash", "-c", f"exit {status}")
    log_signal("fit_pca", error, [str(log)])
    assert signal_of(error) is None
    assert not log.exists()


@pytest.mark.parametrize(
    ("before", "expected"),
    [("", []), ("step 1\n", ["step 1"]), ("10 %\r20 %", ["10 %\r20 %"])],
)
def test_the_signal_is_the_last_line_of_the_log(tmp_path, before, expected):
    log = tmp_path / "fit_pca.log"
    log.write_text(before, newline="")
    log_signal("fit_pca", subprocess.CalledProcessError(137, ""), [str(log)])
    *first, last = log.read_bytes().decode().rstrip("\n").split("\n")
    assert last == "fit_pca: killed by signal 9 (SIGKILL), often for lack of memory"
    assert first == expected
