"""What the tables of a training contain."""

from __future__ import annotations

from .table_columns import Column, TableSchema

EVALUATION = TableSchema(
    "evaluation",
    2,
    "metric_id",
    (
        Column("metric_id", "text", "", "model, split, group, element and quantity"),
        Column(
            "model",
            "text",
            "",
            "name of the model; the first one's with -mean behind it for the mean of an ensemble",
        ),
        Column("split", "text", "", "part of the dataset, empty if it is not split"),
        Column(
            "group",
            "text",
            "",
            "group of frames; all; or all frames of the same elements, such as ``system:Cu-O``",
        ),
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
    2,
    "frame_id",
    (
        Column("frame_id", "text", "", "name of the frame"),
        Column("model", "text", "", "name of the model, of an ensemble the first one"),
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
        Column(
            "mean_energy_error_ev_per_atom",
            "real",
            "eV",
            "mean of the models of an ensemble minus label: what the spread is about",
            "always",
        ),
        Column(
            "mean_force_rmse_ev_per_ang",
            "real",
            "eV/Å",
            "error of force components of the mean of the models",
            "always",
        ),
    ),
)

FORCE_PREDICTION = TableSchema(
    "force_prediction",
    2,
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
        *(
            Column(
                f"mean_{axis}_ev_per_ang",
                "real",
                "eV/Å",
                f"mean force of the models of an ensemble, component along {axis}",
                "always",
            )
            for axis in "xyz"
        ),
        Column(
            "spread_ev_per_ang",
            "real",
            "eV/Å",
            "root of the summed variance of the components between the models of an ensemble",
            "always",
        ),
    ),
)

CALIBRATION = TableSchema(
    "calibration",
    1,
    "calibration_id",
    (
        Column("calibration_id", "text", "", "ensemble, split, group and quantity"),
        Column("model", "text", "", "name of the first model of the ensemble"),
        Column("n_models", "whole", "1", "models of the ensemble"),
        Column("split", "text", "", "part of the dataset, empty if it is not split"),
        Column("group", "text", "", "group of frames, or all"),
        Column("quantity", "text", "", "what is compared", choices=("energy", "force")),
        Column("unit", "text", "", "eV/atom, eV/Å for components"),
        Column(
            "n",
            "whole",
            "1",
            "errors compared; without those where error and spread are rounding",
        ),
        Column("n_groups", "whole", "1", "groups of frames that they come from"),
        Column("rmse", "real", "of the row", "error of the mean of the models"),
        Column(
            "rms_spread",
            "real",
            "of the row",
            "root mean square of the standard deviation between models, of a component",
        ),
        Column(
            "rank_correlation",
            "real",
            "1",
            "Spearman's, of sizes of errors with spreads; missing where either is constant",
            "always",
        ),
        Column(
            "factor",
            "real",
            "1",
            "error by spread, fitted to the validation part; missing without one",
            "always",
        ),
        Column(
            "factor_error",
            "real",
            "1",
            "standard error of the factor, from leaving out one group at a time",
            "always",
        ),
        Column("degrees", "whole", "1", "degrees of freedom of the t distribution of errors"),
        *(
            Column(
                f"coverage_{level}{ending}",
                "real",
                "1",
                f"part of the errors inside intervals of {percent} %, {text}",
                "always",
            )
            for level, percent in (("68", "68.27"), ("95", "95.45"))
            for ending, text in (
                ("_raw", "spread taken as standard deviation of a normal distribution"),
                ("", "calibrated"),
            )
        ),
    ),
)

LEARNING_CURVE = TableSchema(
    "learning_curve",
    1,
    "curve_id",
    (
        Column("curve_id", "text", "", "fraction, seed, split and quantity"),
        Column("fraction", "real", "1", "part of the training frames that was asked for"),
        Column("seed", "whole", "1", "of the choice of frames and of the network"),
        Column("n_frames", "whole", "1", "frames trained on"),
        Column("n_groups", "whole", "1", "groups that they come from"),
        Column("n_atoms", "real", "1", "atoms in them, each counted by its existence"),
        Column("epochs", "whole", "1", "passes through them", "unless_ok"),
        Column("steps", "whole", "1", "steps of the optimiser", "unless_ok"),
        Column("split", "text", "", "part of the dataset the errors are of"),
        Column("quantity", "text", "", "what is compared", choices=("energy", "force", "stress")),
        Column("mae", "real", "of the row", "mean absolute error", "unless_ok"),
        Column("rmse", "real", "of the row", "root mean square error", "unless_ok"),
        Column("unit", "text", "", "eV/atom, eV/Å for components, eV/Å³ for components"),
        Column("n", "whole", "1", "numbers compared", "unless_ok"),
        Column("status", "text", "", "ok or failed", choices=("ok", "failed")),
        Column("error", "text", "", "what went wrong, empty if nothing did"),
    ),
)
