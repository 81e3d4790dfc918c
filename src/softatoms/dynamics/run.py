"""One run of many systems: move all that are left, sample, let the lost go, keep checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import CheckpointError, StructureError
from ..graph import Coupling
from ..potentials.base import Potential
from ..stopping import Stopping
from ..structure import SoftAtoms
from . import checkpoints
from .barostat import Barostat
from .checkpoints import Checkpoint, Ended
from .forces import Forces
from .guards import Guards
from .langevin import Langevin
from .members import Members
from .observers import Observer
from .recording import Recorder, of_system
from .rescaling import Rescaling
from .results import Outcome, Status, outcome, structure
from .settings import Settings
from .state import Snapshot, State, snapshots, starting_velocities
from .verlet import propagate

if TYPE_CHECKING:
    from ..progress import Progress


@dataclass(frozen=True)
class Options:
    """What concerns a run as a whole; see :func:`softatoms.dynamics.run_dynamics`.

    Attributes:
        n_steps: Steps of every system.
        observers: What to sample.
        frames_every: Steps between frames; None for no frames.
        folder: Where samples, frames and checkpoints go; None for nowhere.
        names: Name of each system.
        checkpoint_every: Steps between checkpoints; None for none.
        checkpoint_minutes: Minutes between checkpoints; None for none.
        wall_time: Seconds after which the run has to have ended; None for no limit.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
        skin: Margin of the neighbour lists in Å.
        progress: Counts steps of systems; None for nobody.
    """

    n_steps: int
    observers: tuple[Observer, ...]
    frames_every: int | None
    folder: Path | None
    names: tuple[str, ...]
    checkpoint_every: int | None
    checkpoint_minutes: float | None
    wall_time: float | None
    coupling: Coupling
    dtype: torch.dtype
    device: torch.device
    skin: float
    progress: Progress | None


class Run:
    """State of one run.

    Args:
        potential: The energy function.
        systems: The structures.
        settings: One entry per structure.
        options: What concerns all of them.
    """

    def __init__(
        self,
        potential: Potential,
        systems: Sequence[SoftAtoms],
        settings: Sequence[Settings],
        options: Options,
    ) -> None:
        self._potential, self._options = potential, options
        self._systems, self._settings = list(systems), list(settings)
        observed = repr((options.observers, options.frames_every, options.names))
        others = {
            "potential": potential.sha256(),
            "options": repr((options.coupling, str(options.dtype), options.skin)),
            "observers": observed,
        }
        self._identity = checkpoints.identity(systems, settings, others)
        origin = {"model_sha256": others["potential"], "coupling": options.coupling}
        origin |= {"dtype": str(options.dtype), "device": str(options.device)}
        self._recorder = Recorder(options.folder, options.observers, origin)
        self._ended: dict[int, Ended] = {}
        self._evaluations = 0
        self._saved_at = time.monotonic()
        self._watch(list(range(len(self._systems))))

    def _watch(self, active: list[int]) -> None:
        """Move these systems from now on."""
        self._active = active
        if not active:
            return
        self._members = Members(
            [self._systems[index] for index in active],
            [self._settings[index] for index in active],
            self._options.device,
        )
        options = self._options
        self._forces = Forces(
            self._potential, self._members, options.coupling, options.dtype, options.skin
        )
        self._potential = self._forces.potential
        self._guards = Guards(self._members)
        first = self._members.settings[0]
        self._bath = Langevin(self._members) if first.thermostat == "langevin" else None
        self._rescaling = Rescaling(self._members) if first.thermostat == "csvr" else None
        self._barostat = None
        if first.cell != "fixed":
            self._barostat = Barostat(self._members, self._forces)

    def run(self) -> list[Outcome]:
        """Move all systems to the end.

        Returns:
            One outcome per system, in the same order.
        """
        options, reason = self._options, ""
        with Stopping(listens=options.folder is not None, wall_time=options.wall_time) as stopping:
            state = self._resumed()
            if state is None and self._active:
                state = self._started()
            stopping.ready()
            while state is not None and self._active and state.steps[0] < options.n_steps:
                reason = stopping.reason()
                if reason:
                    break
                state = self._step(state)
                self._sample(state)
                if options.progress is not None:
                    options.progress.advance(len(self._active))
                stopping.step_done()
                if self._save_is_due(state):
                    self._save(state)
                    stopping.save_done()
            self._save(state)
        return self._outcomes(state, reason)

    def _resumed(self) -> State | None:
        """The state of the last checkpoint, or None."""
        options = self._options
        if options.folder is None:
            return None
        saved = checkpoints.load(options.folder, self._identity, options.device)
        reached = 0 if saved is None or saved.state is None else int(saved.state.steps[0])
        if reached > options.n_steps:
            raise CheckpointError(
                f"{options.folder}: is at step {reached} already, beyond n_steps={options.n_steps}"
            )
        self._recorder.rewind({} if saved is None else saved.parts)
        if saved is None:
            return None
        self._ended, self._evaluations = dict(saved.ended), saved.evaluations
        self._watch(saved.active)
        return saved.state

    def _started(self) -> State:
        """The state at step 0."""
        members = self._members
        steps = np.zeros(members.n_systems, dtype=np.int64)
        device = members.device

        def joined(name: str) -> torch.Tensor:
            parts = [getattr(soft, name) for soft in members.systems]
            return torch.from_numpy(np.concatenate(parts)).to(device)

        cells = torch.from_numpy(np.stack([soft.cell for soft in members.systems])).to(device)
        positions = joined("positions")
        lambdas = members.lambdas(steps)
        theta = members.theta(lambdas)
        masses = members.masses_at(theta)
        out = self._forces.evaluate(positions, cells, theta, lambdas, self._wanted(0))
        self._evaluations += 1
        zeros = torch.zeros(members.n_systems, dtype=torch.float64, device=device)
        state = State(
            positions=positions,
            velocities=starting_velocities(members, masses),
            forces=out.forces,
            masses=masses,
            cells=cells,
            theta=theta,
            energies=out.energies,
            stresses=out.stresses,
            lambdas=lambdas,
            slopes=out.slopes,
            works=zeros,
            heats=zeros,
            accepted=zeros,
            steps=steps,
        )
        problems = {**self._guards.check_state(state), **out.problems}
        state = self._let_go(state, state, problems)
        self._sample(state)
        return state

    def _step(self, state: State) -> State:
        members, step = self._members, int(state.steps[0]) + 1
        wanted = self._wanted(step)
        new, problems = propagate(state, members, self._forces, self._guards, wanted, self._bath)
        self._evaluations += 1
        if self._rescaling is not None:
            new = self._rescaling(new)
        if self._barostat is not None and step % self._barostat.interval == 0:
            new = self._barostat(new, wanted)
            self._evaluations += 1
        return self._let_go(state, new, {**self._guards.check_state(new), **problems})

    def _let_go(self, last: State, new: State, problems: Mapping[int, str]) -> State:
        """Write down systems that are lost as they last were, and go on with the others."""
        if not problems:
            return new
        before = snapshots(last, self._members)
        chosen = np.ones(self._members.n_systems, dtype=bool)
        for row, error in problems.items():
            index, step = self._active[row], int(new.steps[row])
            self._ended[index] = Ended(before[row], f"step {step}: {error}")
            chosen[row] = False
        kept = new.keep(self._members, chosen)
        self._watch([index for index, keep in zip(self._active, chosen, strict=True) if keep])
        return kept

    def _wanted(self, step: int) -> frozenset[str]:
        """What the potential has to be asked for at a step."""
        wanted = {"forces"}
        if self._barostat is not None and step % self._barostat.interval == 0:
            wanted.add("stress")
        if self._members.switches:
            wanted.add("weight_gradient")
        for observer in self._options.observers:
            if observer.is_due(step):
                wanted |= observer.needs
        return frozenset(wanted)

    def _sample(self, state: State) -> None:
        if not self._active:
            return
        options, step = self._options, int(state.steps[0])
        names = [options.names[index] for index in self._active]
        for observer in options.observers:
            if observer.is_due(step):
                rows = observer.sample(state, self._members, self._forces, names)
                self._recorder.add(observer.name, rows)
        if options.frames_every is not None and step % options.frames_every == 0:
            for index, shot in zip(self._active, snapshots(state, self._members), strict=True):
                self._add_frame(index, shot)

    def _add_frame(self, index: int, shot: Snapshot) -> None:
        try:
            soft = structure(self._systems[index], shot)
        except StructureError:
            # Sites on top of each other cannot be written; the samples say how it goes on.
            return
        self._recorder.add_frame(
            soft,
            system=self._options.names[index],
            step=shot.step,
            time_fs=shot.step * self._settings[index].timestep,
            energy_ev=shot.energy,
        )

    def _save_is_due(self, state: State) -> bool:
        options = self._options
        if options.folder is None:
            return False
        every, minutes = options.checkpoint_every, options.checkpoint_minutes
        if every is not None and self._active and int(state.steps[0]) % every == 0:
            return True
        return minutes is not None and time.monotonic() - self._saved_at >= 60.0 * minutes

    def _save(self, state: State | None) -> None:
        folder = self._options.folder
        if folder is None:
            return
        # Samples first: a checkpoint must never know of rows that are not there.
        self._recorder.flush()
        checkpoint = Checkpoint(
            state if self._active else None,
            self._active,
            self._ended,
            self._recorder.parts,
            self._evaluations,
        )
        checkpoints.save(folder, checkpoint, self._identity)
        self._saved_at = time.monotonic()

    def _outcomes(self, state: State | None, reason: str) -> list[Outcome]:
        in_memory = {} if self._options.folder is not None else self._recorder.in_memory()
        shots = {index: (end.snapshot, end.error) for index, end in self._ended.items()}
        if state is not None and self._active:
            for index, shot in zip(self._active, snapshots(state, self._members), strict=True):
                shots[index] = (shot, reason)
        outcomes = []
        for index, (soft, settings) in enumerate(zip(self._systems, self._settings, strict=True)):
            shot, error = shots[index]
            status: Status = "failed" if index in self._ended else "interrupted" if reason else "ok"
            name = self._options.names[index]
            samples = {key: of_system(table, name) for key, table in in_memory.items()}
            outcomes.append(outcome(soft, settings, shot, status, error, samples))
        return outcomes
