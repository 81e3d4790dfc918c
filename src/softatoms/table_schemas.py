"""What every table contains: columns, types, units, and when a value may be missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "whole", "real"]
Missing = Literal["never", "unless_ok", "always"]

METHODS = ("mean_field", "replica", "vegard", "sqs")
STATUSES = ("ok", "unconverged", "failed")


@dataclass(frozen=True)
class Column:
    """One column, or one per element if its name contains ``{El}``.

    Attributes:
        name: Name, with the unit at its end where there is one.
        kind: Type: text is UTF-8, whole is int64, real is float64.
        unit: Unit; ``1`` for pure numbers, empty for texts.
        description: What it is.
        missing: Whether a value may be missing: never, only in rows whose status is not ``ok``,
            or always.
        choices: Values a text may have; any if empty.
        volatile: Whether it differs between two runs of the same campaign.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    missing: Missing = "never"
    choices: tuple[str, ...] = ()
    volatile: bool = False


@dataclass(frozen=True)
class TableSchema:
    """One kind of table.

    Attributes:
        name: Name of the table.
        version: Raised whenever the meaning of a column changes.
        key: Column that identifies a row.
        columns: The columns in order.
    """

    name: str
    version: int
    key: str
    columns: tuple[Column, ...]

    def expanded(self, elements: Sequence[str]) -> list[Column]:
        """The columns with one copy per element of those that are per element."""
        return [
            dataclasses.replace(column, name=column.name.replace("{El}", element))
            for column in self.columns
            for element in (elements if "{El}" in column.name else ("",))
        ]


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
_STATUS = Column("status", "text", "", "ok, unconverged or failed", choices=STATUSES)
_ERROR = Column("error", "text", "", "what went wrong, empty if nothing did")

MANIFEST = TableSchema(
    "manifest",
    1,
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
    ),
)

COMPOSITION = TableSchema(
    "composition",
    2,
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
        Column("a_ang", "real", "Å", "lattice parameter a of the conventional cell", "unless_ok"),
        Column("b_ang", "real", "Å", "lattice parameter b of the conventional cell", "unless_ok"),
        Column("c_ang", "real", "Å", "lattice parameter c of the conventional cell", "unless_ok"),
        Column("volume_ang3_per_atom", "real", "Å³", "volume per atom", "unless_ok"),
        Column("energy_ev_per_atom", "real", "eV", "energy per atom at rest", "unless_ok"),
        Column(
            "mixing_ev_per_atom",
            "real",
            "eV",
            "energy per atom relative to the relaxed pure elements on the same parent lattice",
            "unless_ok",
        ),
        Column("pressure_gpa", "real", "GPa", "pressure that is left in the cell", "always"),
        Column("bulk_modulus_gpa", "real", "GPa", "isothermal bulk modulus at rest", "always"),
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
            "root mean square deviation of pair probabilities from randomness; sqs only",
            "always",
        ),
        Column("evaluations", "whole", "1", "energy evaluations of this structure", "always"),
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
    2,
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
            "energy relative to the pure elements, each on its best parent lattice of the campaign",
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
    ),
)

EVALUATION = TableSchema(
    "evaluation",
    1,
    "metric_id",
    (
        Column("metric_id", "text", "", "model, split, group, element and quantity"),
        Column("model", "text", "", "name of the model"),
        Column("split", "text", "", "part of the dataset, empty if it is not split"),
        Column("group", "text", "", "group of frames, or all"),
        Column("element", "text", "", "element of the sites of forces, or all"),
        Column("quantity", "text", "", "what is compared", choices=("energy", "force", "stress")),
        Column("mae", "real", "of the row", "mean absolute error"),
        Column("rmse", "real", "of the row", "root mean square error"),
        Column("largest", "real", "of the row", "largest absolute error"),
        Column("unit", "text", "", "eV/atom, eV/Å for components, eV/Å³ for components"),
        Column("n", "whole", "1", "numbers compared"),
    ),
)

TRAINING_HISTORY = TableSchema(
    "training_history",
    1,
    "epoch",
    (
        Column("epoch", "whole", "1", "counted from 1"),
        Column("steps", "whole", "1", "steps of the optimiser until its end"),
        Column("learning_rate", "real", "1", "learning rate at its end"),
        *(
            Column(f"{part}_{name}", "real", unit, f"{text}; {of}", "always")
            for part, of in (
                ("train", "training frames, mean over the epoch, parameters as they were"),
                ("validation", "validation frames, averaged parameters after the epoch"),
            )
            for name, unit, text in (
                ("loss", "1", "loss"),
                ("energy_rmse_ev_per_atom", "eV", "error of energies per atom"),
                ("forces_rmse_ev_per_ang", "eV/Å", "error of force components"),
                ("stress_rmse_ev_per_ang3", "eV/Å³", "error of stress components"),
            )
        ),
        Column("gradient_norm", "real", "1", "mean norm of the gradient before it is cut"),
        Column("atoms_per_second", "real", "1/s", "speed of training", volatile=True),
    ),
)

PREDICTION = TableSchema(
    "prediction",
    1,
    "frame_id",
    (
        Column("frame_id", "text", "", "name of the frame"),
        Column("model", "text", "", "name of the model or the ensemble"),
        Column("split", "text", "", "part of the dataset, empty if it is not split"),
        Column("group", "text", "", "group of the frame"),
        Column("n_atoms", "real", "1", "atoms, each counted by its existence"),
        Column("energy_ev", "real", "eV", "predicted energy"),
        Column("energy_error_ev_per_atom", "real", "eV", "prediction minus label", "always"),
        Column("force_rmse_ev_per_ang", "real", "eV/Å", "error of force components", "always"),
        Column(
            "force_largest_error_ev_per_ang", "real", "eV/Å", "longest error of a force", "always"
        ),
        Column("stress_rmse_ev_per_ang3", "real", "eV/Å³", "error of stress components", "always"),
        Column(
            "energy_spread_ev_per_atom",
            "real",
            "eV",
            "standard deviation between the models of an ensemble",
            "always",
        ),
        Column(
            "force_spread_ev_per_ang",
            "real",
            "eV/Å",
            "root mean square over sites of the spread of forces between models",
            "always",
        ),
        Column(
            "force_largest_spread_ev_per_ang",
            "real",
            "eV/Å",
            "largest spread of a force between models",
            "always",
        ),
    ),
)

FORCE_PREDICTION = TableSchema(
    "force_prediction",
    1,
    "site_id",
    (
        Column("site_id", "text", "", "name of the frame and number of the site, counted from 0"),
        Column("frame_id", "text", "", "name of the frame"),
        Column("model", "text", "", "name of the model"),
        Column("split", "text", "", "part of the dataset, empty if it is not split"),
        Column("group", "text", "", "group of the frame"),
        Column("element", "text", "", "element of the site, X for a soft one"),
        *(
            Column(f"{part}_{axis}_ev_per_ang", "real", "eV/Å", f"{text}, component along {axis}")
            for part, text in (("label", "force of the label"), ("predicted", "predicted force"))
            for axis in "xyz"
        ),
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
        Column("reference", "text", "", "name of the potential it should agree with"),
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
        PHYSICS_CHECKS,
    )
}
"""All tables by name."""
