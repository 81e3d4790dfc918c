"""Tables of heat transport."""

from __future__ import annotations

from .table_columns import Column, TableSchema

_DIRECTION = Column(
    "direction",
    "text",
    "",
    "component; mean: a third of the trace",
    choices=("xx", "yy", "zz", "mean"),
)
_SYSTEM = (
    Column("system", "text", "", "name of the system"),
    Column("temperature_k", "real", "K", "temperature that was asked for"),
)

TRANSPORT = TableSchema(
    "transport",
    1,
    "transport_id",
    (
        Column("transport_id", "text", "", "system, temperature, direction and method"),
        *_SYSTEM,
        _DIRECTION,
        Column(
            "method",
            "text",
            "",
            "how the flux was analysed",
            choices=("first_dip", "plateau", "cepstral", "cepstral_multicomponent"),
        ),
        Column("kappa_w_mk", "real", "W/(m K)", "thermal conductivity", "unless_ok"),
        Column("stderr_w_mk", "real", "W/(m K)", "its standard error", "unless_ok"),
        Column("n_replicas", "whole", "1", "trajectories that came to their end"),
        Column("length_ps", "real", "ps", "length of each"),
        Column("n_sites", "whole", "1", "sites of the supercell"),
        Column("volume_ang3", "real", "Å³", "volume of the supercell", "always"),
        Column("mean_temperature_k", "real", "K", "mean kinetic temperature", "always"),
        Column("cutoff_fs", "real", "fs", "time up to which a direct integral runs", "always"),
        Column("cutoff_thz", "real", "THz", "largest frequency of cepstral analysis", "always"),
        Column("coefficients", "whole", "1", "cepstral coefficients", "always"),
        Column(
            "gauge", "text", "", "what was taken off the flux", choices=("none", "mean_virials")
        ),
        Column("warnings", "text", "", "what speaks against the number, empty if nothing does"),
        Column("status", "text", "", "ok or failed", choices=("ok", "failed")),
        Column("error", "text", "", "why there is no number, empty if there is one"),
    ),
)

TRANSPORT_CORRELATION = TableSchema(
    "transport_correlation",
    1,
    "row_id",
    (
        Column("row_id", "text", "", "system, temperature, direction and number of the point"),
        *_SYSTEM,
        _DIRECTION,
        Column("time_fs", "real", "fs", "lag"),
        Column("correlation", "real", "1", "correlation of the heat flux over that at lag 0"),
        Column("stderr_correlation", "real", "1", "its standard error over blocks"),
        Column("kappa_w_mk", "real", "W/(m K)", "running conductivity"),
        Column("stderr_w_mk", "real", "W/(m K)", "its standard error over blocks"),
    ),
)

TRANSPORT_SPECTRUM = TableSchema(
    "transport_spectrum",
    1,
    "row_id",
    (
        Column("row_id", "text", "", "system, temperature, quantity and number of the point"),
        *_SYSTEM,
        Column(
            "quantity",
            "text",
            "",
            "flux: spectrum of the heat flux, which is the conductivity at frequency 0; cepstral: "
            "what cepstral analysis makes of it; vibrations: density of states",
            choices=("flux", "cepstral", "vibrations"),
        ),
        Column("species", "text", "", "element of a density of states, else empty"),
        Column("frequency_thz", "real", "THz", "frequency"),
        Column("value", "real", "W/(m K) or 1/THz", "spectrum, or density of states per site"),
    ),
)
