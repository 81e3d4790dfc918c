"""Tables of free energies."""

from __future__ import annotations

from .table_columns import Column, TableSchema

_SYSTEM = Column("system", "text", "", "name of the run in the configuration")
_QUANTITIES = ("vacancy", "composition_change")
_STATUS = Column("status", "text", "", "ok or failed", choices=("ok", "failed"))
_ERROR = Column("error", "text", "", "what went wrong, empty if nothing did")
_KELVIN = Column("temperature_k", "real", "K", "temperature")
_PATH = Column(
    "path",
    "text",
    "",
    "removal, perfect and defective of a vacancy; substitution, before and after of a change of "
    "composition",
)
_DIRECTION = Column(
    "direction", "text", "", "forward: λ from 0 to 1; backward", choices=("forward", "backward")
)


def _other(name: str, text: str) -> Column:
    return Column(f"{name}_ev", "real", "eV", text, "always")


FREE_ENERGY = TableSchema(
    "free_energy",
    1,
    "run_id",
    (
        Column("run_id", "text", "", "system, method and temperature"),
        _SYSTEM,
        Column(
            "quantity",
            "text",
            "",
            "vacancy: free energy of forming one; composition_change: of turning elements into "
            "others, per atom of the crystal",
            choices=_QUANTITIES,
        ),
        Column(
            "method",
            "text",
            "",
            "alchemical, frenkel_ladd, harmonic (classical), or static",
            choices=("alchemical", "frenkel_ladd", "harmonic", "static"),
        ),
        Column("temperature_k", "real", "K", "temperature; 0 for static"),
        Column("value_ev", "real", "eV", "the free energy", "unless_ok"),
        Column("stderr_ev", "real", "eV", "its standard error; 0 without sampling", "unless_ok"),
        _other("low", "lower end of its 95 % interval; sampled methods only"),
        _other("high", "upper end of its 95 % interval"),
        _other("dissipation", "mean work lost per run, (W_f + W_b)/2, of the path that loses most"),
        _other("hysteresis", "W_f + W_b of the mean works of that path"),
        Column(
            "overlap",
            "real",
            "1",
            "overlap of forward and backward works, 0 to 1, of the path with the least",
            "always",
        ),
        Column(
            "estimator",
            "text",
            "",
            "bar; harmonic, quasi_harmonic (volume of the temperature) or rest; empty if failed",
        ),
        Column("n_forward", "whole", "1", "forward works, of the path with the fewest"),
        Column("n_backward", "whole", "1", "backward works, of the path with the fewest"),
        Column("switching_steps", "whole", "1", "steps of the longest switching runs"),
        _other("jarzynski_forward", "the value if forward works alone are averaged"),
        _other("jarzynski_backward", "the value if backward works alone are averaged"),
        _other("dissipation_mean", "the value from mean works, (W_f − W_b)/2"),
        _other("isolated", "the part of the value that is energies of isolated atoms"),
        _other("quantum", "the value with quantum instead of classical vibrations; harmonic only"),
        _other("closure", "alchemical minus frenkel_ladd by paths that they do not share"),
        _other("closure_stderr", "standard error of that"),
        Column(
            "volume_ang3_per_atom",
            "real",
            "Å³",
            "volume per atom, of what the composition becomes; missing if static",
            "always",
        ),
        Column("n_atoms", "whole", "1", "atoms of the perfect supercell"),
        Column("n_changed", "whole", "1", "atoms that fade or change"),
        Column("evaluations", "whole", "1", "steps of systems that its switching took"),
        Column("warnings", "text", "", "path and word for each doubt, see docs/free-energies.md"),
        _STATUS,
        _ERROR,
    ),
)

WORKS = TableSchema(
    "works",
    1,
    "work_id",
    (
        Column("work_id", "text", "", "system, path, temperature, direction and replica"),
        _SYSTEM,
        _PATH,
        _KELVIN,
        _DIRECTION,
        Column("replica", "whole", "1", "number of the replica"),
        Column("switching_steps", "whole", "1", "steps from one end to the other"),
        Column("work_ev", "real", "eV", "work done on the system", "unless_ok"),
        _STATUS,
        _ERROR,
    ),
)

SWITCHING_PROFILE = TableSchema(
    "switching_profile",
    1,
    "profile_id",
    (
        Column("profile_id", "text", "", "system, path, temperature, direction and number"),
        _SYSTEM,
        _PATH,
        _KELVIN,
        _DIRECTION,
        Column("lambda", "real", "1", "λ"),
        Column("slope_ev", "real", "eV", "dE/dλ, mean over replicas that came to their end"),
        Column("spread_ev", "real", "eV", "its standard deviation over replicas"),
        Column("n_replicas", "whole", "1", "these replicas"),
    ),
)

PHASE_STABILITY = TableSchema(
    "phase_stability",
    1,
    "stability_id",
    (
        Column("stability_id", "text", "", "name of the comparison and temperature"),
        Column("comparison", "text", "", "name of the comparison in the configuration"),
        _KELVIN,
        Column(
            "start_ev",
            "real",
            "eV",
            "free energy of the second minus the first polymorph before any change, per atom",
        ),
        Column("end_ev", "real", "eV", "the same after the largest change", "unless_ok"),
        Column("end_stderr_ev", "real", "eV", "standard error of end_ev", "unless_ok"),
        Column(
            "crossing",
            "real",
            "1",
            "share of changed atoms at which both are as stable; missing if there is none",
            "always",
        ),
        Column("crossing_low", "real", "1", "lower end of its 95 % interval", "always"),
        Column("crossing_high", "real", "1", "upper end of its 95 % interval", "always"),
        Column(
            "crossing_probability",
            "real",
            "1",
            "probability that there is a crossing, given the errors",
            "unless_ok",
        ),
        _STATUS,
        _ERROR,
    ),
)
