"""Tables of optimisations of composition and cell."""

from __future__ import annotations

from .table_columns import Column, Missing, TableSchema

_SEARCH = Column("search", "text", "", "name of the search in the configuration")
_FRACTION = Column("x_{El}", "real", "1", "atomic fraction of the element", "unless_ok")
_OCCUPATION = Column(
    "occupation", "text", "", "weights on the sublattices that are sought, such as ``m:Al=1,Sc=0``"
)


def _cell(kind: Missing) -> tuple[Column, ...]:
    return (
        Column("a_ang", "real", "Å", "lattice parameter a of the conventional cell", kind),
        Column("b_ang", "real", "Å", "lattice parameter b of the conventional cell", kind),
        Column("c_ang", "real", "Å", "lattice parameter c of the conventional cell", kind),
        Column("volume_ang3_per_site", "real", "Å³", "volume per site", kind),
        Column("energy_ev_per_site", "real", "eV", "energy per site at rest", kind),
    )


_FOUND = Column(
    "targets", "text", "", "quantities of the targets as found, such as ``a=3.189``, in their units"
)
OPTIMISATION = TableSchema(
    "optimisation",
    1,
    "run_id",
    (
        Column("run_id", "text", "", "search, method and start or replicate"),
        _SEARCH,
        Column(
            "method",
            "text",
            "",
            "newton, exponentiated_gradient, joint; sqs: explicit supercell at the nearest "
            "composition that fits",
            choices=("newton", "exponentiated_gradient", "joint", "sqs"),
        ),
        Column("start", "whole", "1", "start, or replicate of a supercell, counted from 0"),
        Column("best", "whole", "1", "1 for the start that the supercells verify, else 0"),
        Column("formula", "text", "", "composition per site; empty if there is none"),
        _FRACTION,
        _OCCUPATION,
        Column("n_sites", "whole", "1", "sites of the cell"),
        *_cell("unless_ok"),
        _FOUND,
        Column("wanted", "text", "", "what was wanted of them, such as ``a=3.189``"),
        Column(
            "objective",
            "real",
            "1",
            "sum of the terms of all targets; missing for supercells if a target needs derivatives",
            "always",
        ),
        Column(
            "gap",
            "real",
            "1",
            "Frank–Wolfe gap in units of the objective, 0 where the conditions of Karush, Kuhn and "
            "Tucker hold; starts only",
            "always",
        ),
        Column(
            "rounding",
            "real",
            "1",
            "largest change of a weight to the composition that fits; supercells only",
            "always",
        ),
        Column(
            "correlation_error",
            "real",
            "1",
            "root mean square deviation of pair probabilities from randomness; supercells only",
            "always",
        ),
        Column("steps", "whole", "1", "compositions looked at"),
        Column("relaxation_evaluations", "whole", "1", "energy evaluations in relaxations"),
        Column(
            "derivative_passes",
            "whole",
            "1",
            "further evaluations: one for energy and first derivatives, one per product with "
            "second derivatives, two for third derivatives",
        ),
        Column("evaluations", "whole", "1", "both together"),
        Column(
            "status",
            "text",
            "",
            "ok, unconverged or failed",
            choices=("ok", "unconverged", "failed"),
        ),
        Column("error", "text", "", "what went wrong, empty if nothing did"),
    ),
)

OPTIMISATION_PATH = TableSchema(
    "optimisation_path",
    1,
    "step_id",
    (
        Column("step_id", "text", "", "run and number of the step"),
        _SEARCH,
        Column("method", "text", "", "newton, exponentiated_gradient or joint"),
        Column("start", "whole", "1", "start, counted from 0"),
        Column("step", "whole", "1", "composition looked at, counted from 0"),
        Column("evaluations", "whole", "1", "evaluations of this start up to here"),
        Column("x_{El}", "real", "1", "atomic fraction of the element"),
        _OCCUPATION,
        *_cell("never"),
        _FOUND,
        Column("objective", "real", "1", "sum of the terms of all targets"),
        Column("gap", "real", "1", "Frank–Wolfe gap in units of the objective"),
    ),
)
