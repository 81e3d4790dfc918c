"""Tables of active learning."""

from __future__ import annotations

from .table_columns import Column, TableSchema

_ROUND = Column("round", "whole", "1", "round, counted from 0; 0 is the first training")
_UNIT = Column("uncertainty_unit", "text", "", "unit of the uncertainties")

ACTIVE_LEARNING = TableSchema(
    "active_learning",
    1,
    "round",
    (
        _ROUND,
        Column("frames", "whole", "1", "labelled frames of the round"),
        Column("train_frames", "whole", "1", "frames that its models are trained on"),
        Column("validation_frames", "whole", "1", "frames by which their epochs are chosen"),
        Column("test_frames", "whole", "1", "frames of the test part, the same in all rounds"),
        Column("labelled", "whole", "1", "frames found by its models that were labelled"),
        Column("labels_failed", "whole", "1", "frames found by its models whose labels failed"),
        Column("trajectories", "whole", "1", "trajectories explored with its models"),
        Column("trajectories_stopped", "whole", "1", "those stopped by a limit"),
        Column("trajectories_lost", "whole", "1", "those whose dynamics broke down"),
        Column("visited", "whole", "1", "structures looked at within the limits"),
        Column("candidates", "whole", "1", "structures between the limits"),
        *(
            Column(
                f"{kind}_uncertainty_{when}",
                "real",
                "of the row",
                f"{text} uncertainty of the candidates {of}",
                "always",
            )
            for when, of in (
                ("before", "for the models of the round"),
                ("after", "for the models of the next round"),
            )
            for kind, text in (("mean", "mean"), ("max", "largest"))
        ),
        _UNIT,
        *(
            Column(
                f"test_{name}_{kind}_{unit}",
                "real",
                shown,
                f"{text} of the first model on the test part, {what}",
                "always",
            )
            for name, unit, shown, what in (
                ("energy", "ev_per_atom", "eV", "energies per atom"),
                ("forces", "ev_per_ang", "eV/Å", "force components"),
                ("stress", "ev_per_ang3", "eV/Å³", "stress components"),
            )
            for kind, text in (("mae", "mean absolute error"), ("rmse", "root mean square error"))
        ),
    ),
)

EXPLORATION = TableSchema(
    "exploration",
    1,
    "trajectory_id",
    (
        Column("trajectory_id", "text", "", "round and name of the trajectory"),
        _ROUND,
        Column("exploration", "text", "", "name of the exploration in the configuration"),
        Column("temperature_k", "real", "K", "temperature, if there is one", "always"),
        Column(
            "split",
            "text",
            "",
            "part that its frames belong to",
            choices=("train", "validation"),
        ),
        Column("steps", "whole", "1", "steps it took"),
        Column("visited", "whole", "1", "structures looked at within the limits"),
        Column("candidates", "whole", "1", "those above the lower limit"),
        Column("selected", "whole", "1", "those that got a label"),
        Column("mean_uncertainty", "real", "of the row", "mean over structures", "always"),
        Column("largest_uncertainty", "real", "of the row", "largest of them", "always"),
        _UNIT,
        Column(
            "status",
            "text",
            "",
            "ok; stopped: the uncertainty passed the upper limit, or atoms came too close; lost: "
            "the dynamics broke down",
            choices=("ok", "stopped", "lost"),
        ),
        Column("error", "text", "", "why it ended early, empty if it did not"),
    ),
)
