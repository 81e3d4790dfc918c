"""What every table contains: columns, types, units, and when a value may be missing."""

from __future__ import annotations

from .table_columns import Column, TableSchema
from .table_schemas_free_energy import (
    FREE_ENERGY,
    PHASE_STABILITY,
    SWITCHING_PROFILE,
    WORKS,
)
from .table_schemas_learning import ACTIVE_LEARNING, EXPLORATION
from .table_schemas_optimisation import OPTIMISATION, OPTIMISATION_PATH
from .table_schemas_order import ORDER, ORDER_ROC, ORDER_SUMMARY
from .table_schemas_training import (
    CALIBRATION,
    EVALUATION,
    FORCE_PREDICTION,
    LEARNING_CURVE,
    PREDICTION,
    TRAINING_HISTORY,
)
from .table_schemas_transport import (
    TRANSPORT,
    TRANSPORT_CORRELATION,
    TRANSPORT_SPECTRUM,
)

METHODS = ("mean_field", "replica", "vegard", "sqs", "random")
ELASTIC = ("c11", "c22", "c33", "c12", "c13", "c23", "c44", "c55", "c66")
STATUSES = ("ok", "unconverged", "failed")

_ID = Column("composition_id", "text", "", "identifier, derived from what is computed")
_SCAN = Column("scan", "text", "", "name of the scan in the configuration")
_PROTOTYPE = Column("prototype", "text", "", "parent lattice")
_FORMULA = Column("formula", "text", "", "overall composition per atom")
_METHOD = Column("method", "text", "", "how the solid solution is represented", choices=METHODS)
_REPLICATE = Column("replicate", "whole", "1", "index among independent supercells, else 0")
_FRACTION = Column("x_{El}", "real", "1", "atomic fraction of the element")
_OCCUPATION = Column(
    "occupation",
    "text",
    "",
    "weights on each sublattice, such as ``corner:Cu=1;face:Au=0.75,Cu=0.25``",
)
_LABEL = Column("label", "text", "", "own name in a user's list of compositions; empty without")
_STATUS = Column("status", "text", "", "ok, unconverged or failed", choices=STATUSES)
_ERROR = Column("error", "text", "", "what went wrong, empty if nothing did")

MANIFEST = TableSchema(
    "manifest",
    2,
    "composition_id",
    (
        _ID,
        Column("shard", "whole", "1", "job that computes the row, counted from 0"),
        _SCAN,
        _PROTOTYPE,
        _FORMULA,
        _METHOD,
        _REPLICATE,
        _FRACTION,
        Column("occupation", "text", "", "weights on each sublattice, JSON"),
        Column("cost", "real", "1", "estimated pairs of atoms, by which shards are balanced"),
        _LABEL,
    ),
)

COMPOSITION = TableSchema(
    "composition",
    4,
    "composition_id",
    (
        _ID,
        _SCAN,
        _PROTOTYPE,
        _FORMULA,
        _METHOD,
        _REPLICATE,
        _FRACTION,
        _OCCUPATION,
        Column("n_sites", "whole", "1", "sites of the cell that was computed"),
        Column("entropy_kb", "real", "1", "ideal entropy of mixing per site in units of kB"),
        Column("a_ang", "real", "Å", "lattice parameter a of the conventional cell", "unless_ok"),
        Column("b_ang", "real", "Å", "lattice parameter b of the conventional cell", "unless_ok"),
        Column("c_ang", "real", "Å", "lattice parameter c of the conventional cell", "unless_ok"),
        Column("alpha_deg", "real", "°", "angle between b and c", "unless_ok"),
        Column("beta_deg", "real", "°", "angle between a and c", "unless_ok"),
        Column("gamma_deg", "real", "°", "angle between a and b", "unless_ok"),
        Column("volume_ang3_per_atom", "real", "Å³", "volume per atom", "unless_ok"),
        Column("energy_ev_per_atom", "real", "eV", "energy per atom at rest", "unless_ok"),
        Column(
            "mixing_ev_per_atom",
            "real",
            "eV",
            "energy per atom relative to the relaxed end members on the same parent lattice: pure "
            "elements, or a parent with one element on each sublattice",
            "unless_ok",
        ),
        Column("pressure_gpa", "real", "GPa", "pressure that is left in the cell", "always"),
        Column("bulk_modulus_gpa", "real", "GPa", "isothermal bulk modulus at rest", "always"),
        *(
            Column(
                f"{name}_gpa",
                "real",
                "GPa",
                f"elastic constant {name.upper()} at rest along x, y, z of the parent's cell; soft "
                "structures with a parent only",
                "always",
            )
            for name in ELASTIC
        ),
        Column(
            "de_dx_ev",
            "real",
            "eV",
            "derivative of the energy per site by the fraction of the second element of the only "
            "shared sublattice, on that sublattice",
            "always",
        ),
        Column("d2e_dx2_ev", "real", "eV", "second derivative of the relaxed energy", "always"),
        Column("dlnv_dx", "real", "1", "derivative of ln V of the relaxed cell", "always"),
        *(
            Column(f"d{k}_dx_ang", "real", "Å", f"derivative of {k} of the relaxed cell", "always")
            for k in ("a", "b", "c")
        ),
        Column(
            "edges",
            "text",
            "",
            "these derivatives for every pair of elements of every sublattice, as JSON; empty "
            "without",
        ),
        Column(
            "lowest_curvature_ev_per_ang2",
            "real",
            "eV/Å²",
            "smallest curvature along any strain or displacement at rest",
            "always",
        ),
        Column(
            "distortion_ang",
            "real",
            "Å",
            "longest way of a site, besides the strain, from the line between the end members",
            "always",
        ),
        Column(
            "slope_{El}_ev",
            "real",
            "eV",
            "derivative of the energy per site by the weight of the element; missing unless the "
            "element is a candidate on the only sublattice of a soft structure",
            "always",
        ),
        Column(
            "correlation_error",
            "real",
            "1",
            "root mean square deviation of pair probabilities from randomness; supercells only",
            "always",
        ),
        Column("evaluations", "whole", "1", "energy evaluations of this structure", "always"),
        _LABEL,
        _STATUS,
        _ERROR,
    ),
)

RUNS = TableSchema(
    "runs",
    1,
    "job_id",
    (
        Column("job_id", "text", "", "name of the job"),
        Column("rule", "text", "", "stage"),
        Column("git_revision", "text", "", "commit of the source tree"),
        Column("config_hash", "text", "", "fingerprint of the values the job depends on"),
        Column("seed", "whole", "1", "seed of the campaign"),
        Column("device", "text", "", "where it ran"),
        Column("dtype", "text", "", "precision of the potential"),
        Column("wall_s", "real", "s", "wall time of the last attempt", volatile=True),
        Column("evaluations", "whole", "1", "energy evaluations of all structures"),
        Column("rows", "whole", "1", "rows the job wrote"),
        Column("rows_not_ok", "whole", "1", "rows whose status is not ok"),
        Column("status", "text", "", "ok if the job ended", choices=("ok", "failed")),
    ),
)

RANKING = TableSchema(
    "ranking",
    3,
    "composition_id",
    (
        Column("rank", "whole", "1", "position, counted from 1"),
        _ID,
        _SCAN,
        _PROTOTYPE,
        _FORMULA,
        _METHOD,
        _REPLICATE,
        _FRACTION,
        _OCCUPATION,
        Column("n_elements", "whole", "1", "number of elements present"),
        Column("a_ang", "real", "Å", "lattice parameter a of the conventional cell"),
        Column("volume_ang3_per_atom", "real", "Å³", "volume per atom"),
        Column("energy_ev_per_atom", "real", "eV", "energy per atom at rest"),
        Column(
            "mixing_ev_per_atom",
            "real",
            "eV",
            "energy relative to the pure elements on the same parent lattice; its zero differs "
            "between lattices",
        ),
        Column(
            "formation_ev_per_atom",
            "real",
            "eV",
            "energy relative to the pure elements, each on its best parent lattice of the "
            "campaign; mixing_ev_per_atom where lattices share no end member",
            "always",
        ),
        Column(
            "mixing_free_energy_ev_per_atom",
            "real",
            "eV",
            "formation_ev_per_atom minus temperature times the ideal entropy of the sublattices",
            "always",
        ),
        Column("temperature_k", "real", "K", "temperature of the ideal entropy"),
        Column("replicates", "whole", "1", "supercells over which the row is the mean, else 1"),
        Column(
            "standard_error_ev_per_atom",
            "real",
            "eV",
            "standard error of the energies of the row; missing unless it is a mean",
            "always",
        ),
        Column("bulk_modulus_gpa", "real", "GPa", "isothermal bulk modulus at rest", "always"),
        Column(
            "target_distance",
            "real",
            "1",
            "largest distance from a target of the objectives, in parts of it; missing without",
            "always",
        ),
        Column(
            "pareto_front",
            "whole",
            "1",
            "Pareto front of the objectives among all that pass the filters, from 1: nothing is "
            "better in all; missing without objectives or without a value of one",
            "always",
        ),
        _LABEL,
    ),
)

DATASET = TableSchema(
    "dataset",
    1,
    "frame_id",
    (
        Column("frame_id", "text", "", "name of the frame"),
        Column("group", "text", "", "origin; frames of one group stand in one part"),
        Column(
            "split",
            "text",
            "",
            "part of the dataset; empty for what is not used",
            choices=("", "train", "validation", "test"),
        ),
        Column("formula", "text", "", "elements with their amounts, ``Au2Cu30``"),
        Column("n_atoms", "whole", "1", "number of sites"),
        Column("volume_ang3_per_atom", "real", "Å³", "volume per site of a crystal", "always"),
        Column("energy_ev", "real", "eV", "energy of the whole structure", "unless_ok"),
        Column("largest_force_ev_per_ang", "real", "eV/Å", "longest force on a site", "always"),
        Column(
            "pressure_ev_per_ang3", "real", "eV/Å³", "pressure, positive if compressed", "always"
        ),
        Column("labeller", "text", "", "what the labels come from"),
        Column(
            "status",
            "text",
            "",
            "ok; failed; or left out as a duplicate of another frame or unselected because others "
            "cover it",
            choices=("ok", "failed", "duplicate", "unselected", "unlabelled"),
        ),
        _ERROR,
    ),
)

PHYSICS_CHECKS = TableSchema(
    "physics_checks",
    1,
    "check_id",
    (
        Column("check_id", "text", "", "crystal, model, reference and quantity"),
        Column("crystal", "text", "", "name of the crystal"),
        Column("model", "text", "", "name of the potential that is checked"),
        Column(
            "reference",
            "text",
            "",
            "name of the potential it should agree with, or source of published numbers",
        ),
        Column("quantity", "text", "", "what is compared"),
        Column("unit", "text", "", "unit of the values; empty where neither has one"),
        Column("model_value", "real", "of the row", "what the potential gives", "unless_ok"),
        Column("reference_value", "real", "of the row", "what the reference gives", "unless_ok"),
        Column("difference", "real", "of the row", "model minus reference", "unless_ok"),
        Column(
            "relative_error",
            "real",
            "1",
            "difference by the size of the reference; missing where that is 0",
            "always",
        ),
        Column(
            "status",
            "text",
            "",
            "ok; unstable: the crystal is unstable in one of the potentials, values are given; "
            "unconverged or failed: a value is missing",
            choices=("ok", "unstable", "unconverged", "failed"),
        ),
        _ERROR,
    ),
)

SCHEMAS = {
    schema.name: schema
    for schema in (
        MANIFEST,
        COMPOSITION,
        RUNS,
        RANKING,
        DATASET,
        EVALUATION,
        TRAINING_HISTORY,
        PREDICTION,
        FORCE_PREDICTION,
        ACTIVE_LEARNING,
        EXPLORATION,
        CALIBRATION,
        LEARNING_CURVE,
        PHYSICS_CHECKS,
        OPTIMISATION,
        OPTIMISATION_PATH,
        ORDER,
        ORDER_SUMMARY,
        ORDER_ROC,
        FREE_ENERGY,
        WORKS,
        SWITCHING_PROFILE,
        PHASE_STABILITY,
        TRANSPORT,
        TRANSPORT_CORRELATION,
        TRANSPORT_SPECTRUM,
    )
}
"""All tables by name."""
