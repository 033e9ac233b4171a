"""A job that uses a GPU logs its peak GPU memory."""

import subprocess
import sys

from vitproto.core.device_memory import from_log
from vitproto.core.project import PROJECT

FAKE_GPU = """
import logging, torch
logging.basicConfig(level=logging.INFO)
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 1
torch.cuda.max_memory_allocated = lambda device: 12345678 + (device.type != "cuda")
from vitproto.core.device import pick_device
print(pick_device("NAME"))
"""


def log_of(device: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", FAKE_GPU.replace("NAME", device)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=True,
    )
    return done.stdout.strip(), done.stderr


def test_the_peak_of_a_gpu_is_the_last_line_of_the_log():
    picked, log = log_of("auto")
    assert picked == "cuda"
    assert from_log(log.splitlines()[-1]) == 12345678


def test_a_job_on_a_cpu_says_nothing_of_a_gpu():
    picked, log = log_of("cpu")
    assert picked == "cpu"
    assert from_log(log) is None
