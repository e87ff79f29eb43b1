"""A real SLURM of one node with two partitions, in a folder and on ports of its own, ended by process id."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
ClusterName=genmat
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SchedulerType=sched/builtin
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=2
MinJobAge=60
OverTimeLimit=0
NodeName=genmat NodeHostname={host} NodeAddr=127.0.0.1 Port={daemon} CPUs=16 State=UNKNOWN
PartitionName=gpu Nodes=genmat Default=NO MaxTime=INFINITE State=UP OverSubscribe=NO
PartitionName=cpu Nodes=genmat Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")


def why_not() -> str | None:
    """Return why no SLURM can be started here, or ``None``."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no {', '.join(missing)} (apt-get install slurm-wlm munge)"
    if os.getuid() != 0:
        return "a private SLURM needs root"
    return None


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Slurm:
    """A running SLURM.

    Parameters
    ----------
    folder
        Short, because a socket lies in it, and open to the user munge.
    """

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        munge = pwd.getpwnam("munge")
        self.folder.chmod(0o755)
        place = self.folder / "munge"
        place.mkdir()
        (place / "key").write_bytes(os.urandom(128))
        for path in (place, place / "key"):
            os.chown(path, munge.pw_uid, munge.pw_gid)
        place.chmod(0o755)
        (place / "key").chmod(0o400)
        options = [f"--{name}={place / name}" for name in ("socket", "key-file", "pid-file", "log-file", "seed-file")]
        options[1] = f"--key-file={place / 'key'}"
        self._start("munged", "--foreground", *options, user=munge)
        self._wait((place / "socket").exists, "munged")
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        config = CONFIG.format(
            folder=self.folder, host=socket.gethostname().partition(".")[0], controller=_port(), daemon=_port()
        )
        (self.folder / "slurm.conf").write_text(config, encoding="utf-8")
        self._start("slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        self._start("slurmd", "-D", "-N", "genmat", "-f", str(self.folder / "slurm.conf"))
        self._wait(lambda: "idle" in self.run("sinfo", "--noheader", "--format", "%T"), "slurmd")

    def run(self, *command: str) -> str:
        environment = {**os.environ, **self.environment, "PATH": _path()}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout

    def stop(self) -> None:
        """End all jobs, then the daemons."""
        for line in self.run("squeue", "--noheader", "--format", "%i").split():
            self.run("scancel", "--signal=KILL", line)
            self.run("scancel", line)
        deadline = time.monotonic() + 20
        while self.run("squeue", "--noheader").strip() and time.monotonic() < deadline:
            time.sleep(0.2)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, *command: str, user: pwd.struct_passwd | None = None) -> None:
        identity = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        log = (self.folder / f"{command[0]}.out").open("wb")
        environment = {**os.environ, **self.environment, "PATH": _path()}
        with log:
            self.processes.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **identity)
            )

    def _wait(self, condition, what: str) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline or self.processes[-1].poll() is not None:
                logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.out"))
                logs += "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))
                msg = f"{what} did not start:\n{logs}"
                raise RuntimeError(msg)
            time.sleep(0.1)
