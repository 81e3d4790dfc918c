"""Tables of order and disorder."""

from __future__ import annotations

from .table_columns import Column, TableSchema

_STATUSES = ("ok", "unconverged", "failed")
_STATES = ("mean_field", "replica", "random", "sqs", "ordered")
_COMPOUND = Column("compound", "text", "", "formula of a double perovskite, or name of a parent")

ORDER = TableSchema(
    "order",
    1,
    "variant_id",
    (
        Column("variant_id", "text", "", "compound, name and replicate"),
        _COMPOUND,
        Column("state", "text", "", "how the mixed sites are occupied", choices=_STATES),
        Column("variant", "text", "", "name of the order or of the state"),
        Column("replicate", "whole", "1", "index among random supercells, else 0"),
        Column("n_sites", "whole", "1", "sites of the cell"),
        Column("n_mixed", "whole", "1", "mixed sites of the cell"),
        Column("energy_ev_per_mixed_site", "real", "eV", "energy at rest", "unless_ok"),
        Column(
            "above_best_order_ev_per_mixed_site",
            "real",
            "eV",
            "energy above the best ordered structure of the compound that converged",
            "always",
        ),
        Column("volume_ang3_per_mixed_site", "real", "Å³", "volume", "unless_ok"),
        Column("a_ang", "real", "Å", "length of the first vector of the cell", "unless_ok"),
        Column("b_ang", "real", "Å", "length of the second vector of the cell", "unless_ok"),
        Column("c_ang", "real", "Å", "length of the third vector of the cell", "unless_ok"),
        Column(
            "correlation_error",
            "real",
            "1",
            "root mean square deviation of pair probabilities from randomness; random and sqs only",
            "always",
        ),
        Column("fmax_ev_per_ang", "real", "eV/Å", "largest force that is left", "always"),
        Column("evaluations", "whole", "1", "energy evaluations"),
        Column("status", "text", "", "ok, unconverged or failed", choices=_STATUSES),
        Column("error", "text", "", "what went wrong, empty if nothing did"),
    ),
)


def _above(state: str, text: str) -> Column:
    description = f"{text} above the best ordered structure, per mixed site"
    return Column(f"ordering_{state}_ev", "real", "eV", description, "always")


def _spread(state: str) -> Column:
    description = f"standard error of ordering_{state}_ev over replicates"
    return Column(f"stderr_{state}_ev", "real", "eV", description, "always")


ORDER_SUMMARY = TableSchema(
    "order_summary",
    1,
    "compound",
    (
        _COMPOUND,
        Column(
            "observed",
            "text",
            "",
            "order that experiments found; empty without any",
            choices=("rocksalt", "layered", "columnar", "disordered", "disputed", ""),
        ),
        Column("source", "text", "", "where the experiment is documented"),
        Column("checked", "text", "", "whether its text was read", choices=("yes", "no", "")),
        Column("best_order", "text", "", "ordered structure of lowest energy, empty if unknown"),
        Column("reference", "text", "", "disordered state that the next four are about"),
        Column(
            "ordering_energy_ev_per_mixed_site",
            "real",
            "eV",
            "energy of the reference above the best ordered structure",
            "unless_ok",
        ),
        Column(
            "ordering_temperature_k",
            "real",
            "K",
            "ordering energy over the ideal entropy of mixing",
            "unless_ok",
        ),
        Column(
            "stderr_temperature_k",
            "real",
            "K",
            "standard error of the temperature over replicates; missing without any",
            "always",
        ),
        Column(
            "classification", "text", "", "best order, or disordered below the threshold; or empty"
        ),
        _above("mean_field", "soft state in the mean field"),
        _above("replica", "soft state of replicas"),
        _above("sqs", "mean of quasirandom supercells"),
        _above("random", "mean of random supercells"),
        _spread("sqs"),
        _spread("random"),
        Column(
            "charge_difference", "real", "1", "difference of nominal charges; tables only", "always"
        ),
        Column(
            "radius_difference_ang",
            "real",
            "Å",
            "difference of Shannon's ionic radii with six neighbours; tables only",
            "always",
        ),
        Column("status", "text", "", "ok or failed", choices=("ok", "failed")),
        Column("error", "text", "", "why there is no result, empty if there is one"),
    ),
)

ORDER_ROC = TableSchema(
    "order_roc",
    1,
    "score",
    (
        Column("score", "text", "", "what compounds are ranked by"),
        Column("n_ordered", "whole", "1", "compounds with order by experiment"),
        Column("n_disordered", "whole", "1", "compounds without"),
        Column("n_left_out", "whole", "1", "compounds with an experiment but without all scores"),
        Column("area", "real", "1", "area under the ROC curve"),
        Column("area_low", "real", "1", "lower end of its 95 % bootstrap interval"),
        Column("area_high", "real", "1", "upper end of its 95 % bootstrap interval"),
        Column(
            "minus_baseline", "real", "1", "area minus that of charge_and_radius, same compounds"
        ),
        Column("minus_baseline_low", "real", "1", "lower end of its 95 % paired bootstrap"),
        Column("minus_baseline_high", "real", "1", "upper end of its 95 % paired bootstrap"),
        Column(
            "p_value",
            "real",
            "1",
            "two-sided p-value of equal areas by DeLong's test; missing for the baseline itself",
            "always",
        ),
    ),
)
