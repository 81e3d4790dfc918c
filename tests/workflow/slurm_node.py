"""A real Slurm of one node on the loopback interface, from the distribution's packages.

Everything it needs (keys, sockets, state, logs, configuration) lies in one folder, and every
process it starts is stopped again; `/etc` and the machine's own Slurm, if there is one, are left
alone. Any user may start one: the daemons then run, and take jobs, as that user only. The node
offers one GRES `gpu` on `/dev/null`, so that jobs that ask for a GPU are dispatched without one.

    eval "$(python tests/workflow/slurm_node.py start /tmp/node)"   # sets SLURM_CONF and PATH
    sinfo
    python tests/workflow/slurm_node.py stop /tmp/node
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

CPUS = 8
"""Processors the node claims; the jobs of the tests mostly wait, so these may not exist."""
MEMORY_MB = 16000
DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("srun", "sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

# `MinJobAge` has to outlast three of the executor's status checks: without accounting a finished
# job is only known as long as the controller remembers it.
SLURM_CONF = """\
ClusterName=softatoms
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={root}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=5,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=300
KillWait=2
InactiveLimit=0
ReturnToService=2
SlurmdParameters=config_overrides
DebugFlags=Gres
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=2880 State=UP
"""

GRES_CONF = "AutoDetect=off\nNodeName={host} Name=gpu File=/dev/null\n"


class SlurmUnavailableError(Exception):
    """This machine cannot start the node; the message says what is missing."""


def find_program(name: str) -> str | None:
    """Path of a program, also where administrators' programs are not on PATH."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)


def what_is_missing() -> str | None:
    """Why the node cannot start here, or None."""
    missing = [name for name in (*DAEMONS, *CLIENTS) if find_program(name) is None]
    if missing:
        return (
            f"{', '.join(missing)} not installed (Debian, Ubuntu: apt-get install slurm-wlm munge)"
        )
    return None


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


class SlurmNode:
    """The node that lives in one folder.

    Attributes:
        root: The folder; private to the user, made by `start` and removed by `stop`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to talk to this node."""
        return {
            "SLURM_CONF": str(self.root / "slurm.conf"),
            "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, *, patience_s: float = 60) -> None:
        """Start the three daemons and wait until the node takes jobs."""
        if reason := what_is_missing():
            raise SlurmUnavailableError(reason)
        self.root.mkdir(parents=True, mode=0o755)
        for name in ("state", "spool", "bin"):
            (self.root / name).mkdir()
        self._write_configuration()
        try:
            self._start_munge()
            self._start_daemon("slurmctld", "-i")
            self._start_daemon("slurmd", "-N", self._host)
            self._wait_until_idle(patience_s)
        except BaseException:
            self.stop(keep_logs=True)
            raise

    def stop(self, *, keep_logs: bool = False) -> None:
        """Cancel what still runs, end the daemons and remove the folder."""
        if not self.root.is_dir():
            return
        if self.pid("slurmctld"):
            with contextlib.suppress(subprocess.SubprocessError):
                self.client("scancel", "--user", str(os.geteuid()))
                self._wait_until_empty(patience_s=15)
        for name in reversed(DAEMONS):
            self._end(name)
        self._end_step_daemons()
        if not keep_logs:
            shutil.rmtree(self.root)

    @property
    def _host(self) -> str:
        return socket.gethostname().split(".")[0]

    def _write_configuration(self) -> None:
        controller_port, node_port = free_ports(2)
        values = {
            "host": self._host,
            "root": self.root,
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "controller_port": controller_port,
            "node_port": node_port,
            "cpus": CPUS,
            "memory": MEMORY_MB,
        }
        (self.root / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (self.root / "gres.conf").write_text(GRES_CONF.format(**values))
        # The executor's job step drops SLURM_CONF before it calls srun: clients bring their own.
        for name in CLIENTS:
            wrapper = self.root / "bin" / name
            wrapper.write_text(
                f"#!/bin/sh\nexport SLURM_CONF={shlex.quote(str(self.root / 'slurm.conf'))}\n"
                f'exec {find_program(name)} "$@"\n'
            )
            wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)

    def _start_munge(self) -> None:
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        options = [
            f"--key-file={key}",
            f"--socket={self.root}/munge.socket",
            f"--pid-file={self.root}/munged.pid",
            f"--log-file={self.root}/munged.log",
            f"--seed-file={self.root}/munged.seed",
            "--force",  # the folder need not belong to the user munge
        ]
        self._start_daemon("munged", *options)

    def _start_daemon(self, name: str, *arguments: str) -> None:
        program = find_program(name)
        assert program is not None
        # A file, not a pipe: the daemon keeps its parent's standard output open.
        with (self.root / f"{name}.start.log").open("w") as log:
            result = subprocess.run(
                [program, *arguments],
                env={**os.environ, "SLURM_CONF": self.environment["SLURM_CONF"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=30,
            )
        if result.returncode != 0:
            text = (self.root / f"{name}.start.log").read_text()
            raise SlurmUnavailableError(f"{name} did not start: {text.strip()}")

    def client(self, *command: str) -> str:
        return subprocess.run(
            command,
            env={**os.environ, **self.environment},
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout

    def _wait_until_idle(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        state = "unknown"
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.SubprocessError):
                state = self.client("sinfo", "--noheader", "--format=%t").strip()
                if state == "idle":
                    return
            time.sleep(0.5)
        raise SlurmUnavailableError(
            f"node not idle after {patience_s:g} s but {state!r}; logs in {self.root}"
        )

    def _wait_until_empty(self, *, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not self.client("squeue", "--noheader").strip():
                return
            time.sleep(0.5)

    def pid(self, daemon: str) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int((self.root / f"{daemon}.pid").read_text())
        return None

    def _end(self, daemon: str) -> None:
        """End one daemon by the process id it wrote, if that still is the same program."""
        pid = self.pid(daemon)
        if pid is None or not _is_running(pid, daemon):
            return
        for signal_number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)
            deadline = time.monotonic() + patience_s
            while time.monotonic() < deadline:
                if not _is_running(pid, daemon):
                    return
                time.sleep(0.1)

    def _end_step_daemons(self) -> None:
        """End step daemons that outlived slurmd; they are known by this node's spool folder."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes()
                name = (folder / "comm").read_text().strip()
                if name == "slurmstepd" and str(self.root).encode() in environment:
                    os.kill(int(folder.name), signal.SIGKILL)


def _is_running(pid: int, name: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        return Path(f"/proc/{pid}/comm").read_text().strip() == name and ") Z " not in status
    except OSError:
        return False


def main() -> int:
    """Start or stop a node from a shell."""
    parser = argparse.ArgumentParser(description="a real Slurm of one node on loopback")
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument(
        "root", type=Path, help="folder of the node; made by start, removed by stop"
    )
    arguments = parser.parse_args()
    node = SlurmNode(arguments.root)
    if arguments.action == "stop":
        node.stop()
        return 0
    try:
        node.start()
    except SlurmUnavailableError as error:
        sys.stderr.write(f"cannot start Slurm: {error}\n")
        return 2
    for name, value in node.environment.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
