"""`make run`: Snakemake in this folder, also after a run that was killed.

    python workflow/run.py CAMPAIGN [arguments of snakemake]

A killed Snakemake leaves its lock behind and the next one refuses to start. The lock is removed
here if the last run was started on this machine and no Snakemake works in this folder any more.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import psutil

from softatoms.config import ConfigError, load_config
from softatoms.files import check_writable

LOCKS = Path(".snakemake/locks")
HOST = Path(".snakemake/run-host")


def works_here(process: psutil.Process) -> bool:
    """Whether a process is a Snakemake in this folder."""
    try:
        command = process.cmdline()
        if process.pid == os.getpid() or not any("snakemake" in word for word in command[:3]):
            return False
        return Path(process.cwd()) == Path.cwd()
    except psutil.Error:  # ended meanwhile, or somebody else's
        return False


def remove_stale_lock() -> None:
    """Remove the lock of a run that is over."""
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return
    if not HOST.is_file() or HOST.read_text() != socket.gethostname():
        return
    if not any(works_here(process) for process in psutil.process_iter()):
        shutil.rmtree(LOCKS)


def main() -> None:
    """Check the campaign, then become Snakemake."""
    if len(sys.argv) < 2:
        sys.exit("which campaign? python workflow/run.py config/config.yaml [...]")
    campaign, *options = sys.argv[1:]
    try:
        name = load_config(campaign).campaign.name
        for folder in (Path("results", name), HOST.parent):
            check_writable(folder, is_folder=True)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        sys.exit(2)
    remove_stale_lock()
    HOST.parent.mkdir(exist_ok=True)
    HOST.write_text(socket.gethostname())
    program = [sys.executable, "-m", "snakemake", "--configfile", campaign, *options]
    os.execv(sys.executable, program)


if __name__ == "__main__":
    main()
