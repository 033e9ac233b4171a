"""A temporary SLURM cluster of one node with two simulated GPUs."""

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "setpriv")
COMMANDS = (
    *("sbatch", "srun", "sinfo", "squeue", "scontrol", "scancel", "sacct"),
    *("sacctmgr",),
)
STARTS_WITHIN_S = 60

# The node says that it has many CPUs, so that several jobs run side by side.
SLURM_CONF = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill,UsePss
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MinJobAge=3600
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=64 RealMemory=1000000 Gres=gpu:2
PartitionName=cpu Nodes=localhost Default=YES
PartitionName=nextgen Nodes=localhost
PartitionName=short Nodes=localhost MaxTime=2
PartitionName=broken Nodes=localhost State=DOWN
"""

# What `sacct` says where there is accounting, which wants a data base: it adds by whom
# a job was cancelled.
SACCT = """#!/bin/sh
case "$*" in
*JobIdRaw*) ;;
*) exit 0;;
esac
for name; do :; done
squeue --states=all --noheader --format="%i|%T" --name="$name" |
  sed "s/CANCELLED/CANCELLED by 0/"
"""


def why_not() -> str | None:
    """Why this machine cannot run a cluster, after installing what it can."""
    if os.geteuid() != 0:
        return "only root can start a SLURM cluster"
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        if shutil.which("apt-get") is None:
            return f"{', '.join(missing)} are missing, and there is no apt-get"
        install = ("apt-get", "install", "-y", "--no-install-recommends", *PACKAGES)
        for command in (("apt-get", "update"), install):
            done = subprocess.run(
                command,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode != 0:
                said = done.stdout.strip().splitlines()[-1:]
                return f"`{' '.join(command)}` failed: {' '.join(said)}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            make_device(Path(folder) / "nvidia0", 0)
        except PermissionError:
            return "this machine lets nobody make device files, which stand for GPUs"
    return None


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Run a cluster inside a folder, without changes outside it.

    Yields:
        The environment variables by which commands find it.
    """
    environment = write_configuration(folder)
    munged = [
        *("munged", "--foreground", "--force", f"--key-file={folder}/munge.key"),
        *(f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"),
        *(f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"),
    ]
    slurmctld = ["slurmctld", "-D", "-f", f"{folder}/slurm.conf"]
    slurmd = ["slurmd", "-D", "-N", "localhost", "-f", f"{folder}/slurm.conf"]
    with ExitStack() as daemons:
        daemons.enter_context(daemon(folder, environment, munged))
        wait_until(lambda: (folder / "munge.socket").exists(), folder)
        daemons.enter_context(daemon(folder, environment, slurmctld))
        daemons.enter_context(daemon(folder, environment, slurmd))
        wait_until(lambda: is_up(environment), folder)
        try:
            yield environment
        finally:
            stop_jobs(environment)


def write_configuration(folder: Path) -> dict[str, str]:
    """Write the files of a cluster."""
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)  # munge wants nobody else to write here
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    conf = folder / "slurm.conf"
    ports = free_ports()
    conf.write_text(
        SLURM_CONF.format(folder=folder, controller_port=ports[0], node_port=ports[1])
    )
    for i_gpu in range(2):
        make_device(folder / f"nvidia{i_gpu}", i_gpu)
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/nvidia[0-1]\n")
    # The plugin drops SLURM_CONF from the environment of job steps, and of all that a
    # main process asks which a job of SLURM started.
    for name in COMMANDS:
        command = folder / "bin" / name
        starts = f'SLURM_CONF={conf} exec {shutil.which(name)} "$@"'
        command.write_text(f"#!/bin/sh\n{starts}\n")
        command.chmod(0o755)
    (folder / "accounting").mkdir()
    (folder / "accounting/sacct").write_text(SACCT)
    (folder / "accounting/sacct").chmod(0o755)
    path = f"{folder}/bin{os.pathsep}{os.environ['PATH']}"
    return {"SLURM_CONF": str(conf), "PATH": path}


def with_accounting(environment: dict[str, str]) -> dict[str, str]:
    """The variables of a cluster with fake accounting."""
    folder = Path(environment["SLURM_CONF"]).parent / "accounting"
    return {**environment, "PATH": f"{folder}{os.pathsep}{environment['PATH']}"}


def make_device(path: Path, i_gpu: int) -> None:
    """Make a device file like those of NVIDIA's GPUs, without a device."""
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(195, i_gpu))


def free_ports() -> tuple[int, int]:
    """Two unused ports."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


@contextmanager
def daemon(folder: Path, environment: dict[str, str], command: list[str]):
    """Run a daemon until the block or this process ends."""
    with (
        (folder / f"{command[0]}.out").open("w") as said,
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            env={**os.environ, **environment},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def is_up(environment: dict[str, str]) -> bool:
    """Whether the node is waiting for jobs."""
    try:
        return "idle" in ask(environment, "sinfo", "--noheader", "--format=%T")
    except subprocess.SubprocessError:
        return False


def stop_jobs(environment: dict[str, str]) -> None:
    """Cancel running jobs, and wait until their processes have ended."""
    for how in (["--full", "--signal=KILL"], []):
        subprocess.run(
            ["scancel", *how, "--user=root"],
            env={**os.environ, **environment},
            timeout=20,
        )
    ends = time.monotonic() + STARTS_WITHIN_S
    states = "--states=pending,running,completing"
    while ask(environment, "squeue", "--noheader", states):
        if time.monotonic() > ends:
            break
        time.sleep(0.5)


def ask(environment: dict[str, str], *command: str) -> str:
    """The output of a SLURM command."""
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout


def wait_until(condition: Callable[[], bool], folder: Path) -> None:
    """Wait for the cluster; show the output of its daemons if it does not start."""
    ends = time.monotonic() + STARTS_WITHIN_S
    while not condition():
        if time.monotonic() > ends:
            said = [
                f"{file.name}: {file.read_text()[-2000:]}"
                for file in sorted(folder.glob("*.out"))
            ]
            raise RuntimeError("the SLURM cluster does not start:\n" + "\n".join(said))
        time.sleep(0.2)


def all_jobs(environment: dict[str, str]) -> list[dict[str, str]]:
    """The output of `scontrol show job` for every job, as keys and values."""
    lines = ask(environment, "scontrol", "show", "job", "--oneliner").splitlines()
    return [
        dict(word.split("=", 1) for word in line.split() if "=" in word)
        for line in lines
        if line.startswith("JobId=")
    ]
