"""Ordering energies of double perovskites by CHGNet against experiments and a rule of charges.

    .venv/bin/python benchmarks/order.py [--all | --formulas Sr2FeMoO6,Sr2FeRuO6] [--checkpoint DIR]

Runs config/paper/order.yaml for a choice of compounds, half of them ordered, all with a source that
was read, and prints every compound and the areas under the ROC curves. About 8 s of one processor
core per compound; run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from softatoms.cli import main as softatoms
from softatoms.tables import read_table

CONFIG = Path(__file__).parents[1] / "config/paper/order.yaml"

ORDERED = (
    *("Sr2FeMoO6", "Ba2YNbO6", "Sr2CrTaO6", "Sr2GaTaO6", "Ca2AlNbO6", "Sr2ScRuO6", "Ba2CoWO6"),
    *("Ca2FeReO6", "Sr2CaMoO6", "Sr2CoMoO6", "Pb2ScTaO6", "La2MgTiO6", "Ba2YMoO6", "La2CoRuO6"),
    *("Nd2NiMnO6", "La2CuSnO6"),
)
DISORDERED = (
    *("Sr2MnNbO6", "Sr2MnRuO6", "Ca2MnNbO6", "Ca2MnSbO6", "Ca2MnRuO6", "Ba2FeNbO6", "Sr2FeRuO6"),
    *("Sr2FeTaO6", "Pb2FeTaO6", "Pb2ScNbO6", "La2MnRhO6", "La2CuRhO6", "Sr2CoRuO6", "Sr2TiZrO6"),
    *("Sr2FeMnO6", "La2CuTiO6"),
)


def main() -> int:
    """Run the campaign and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="all compounds of the table")
    parser.add_argument("--formulas", help="these compounds instead, separated by commas")
    parser.add_argument("--checkpoint", type=Path, help="folder for finished compounds")
    arguments = parser.parse_args()
    campaign = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    chosen = [*ORDERED, *DISORDERED]
    if arguments.formulas:
        chosen = arguments.formulas.split(",")
    if not arguments.all:
        campaign["order"]["formulas"] = chosen
    campaign["figures"]["names"] = ["order_energies"]
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder), campaign, arguments.checkpoint)


def _run(folder: Path, campaign: dict[str, Any], checkpoint: Path | None) -> int:
    config = folder / "order.yaml"
    config.write_text(yaml.safe_dump(campaign), encoding="utf-8")
    paths = {name: folder / f"{name}.parquet" for name in ("order", "order_summary", "order_roc")}
    command = ["order", "--config", str(config), "--out", str(paths["order"])]
    command += ["--summary-out", str(paths["order_summary"]), "--roc-out", str(paths["order_roc"])]
    if checkpoint is not None:
        command += ["--checkpoint", str(checkpoint)]
    started, used = time.monotonic(), time.process_time()
    code = softatoms(command)
    if code:
        return code
    rows = read_table(paths["order_summary"], "order_summary").rows()
    _print_compounds(rows)
    print(f"\n{'score':22s} {'area':>6s}  95 % interval   minus baseline (95 %)      p")
    for row in read_table(paths["order_roc"], "order_roc").rows():
        p = "" if row["p_value"] is None else f"{row['p_value']:.3f}"
        interval = f"{row['area_low']:.3f} to {row['area_high']:.3f}"
        low, high = row["minus_baseline_low"], row["minus_baseline_high"]
        against = f"{row['minus_baseline']:+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"{row['score']:22s} {row['area']:6.3f}  {interval}  {against}  {p}")
    wall, cpu = time.monotonic() - started, time.process_time() - used
    print(f"\n{len(rows)} compounds, {wall:.0f} s of wall time, {cpu:.0f} s of processor time")
    return 0


def _print_compounds(rows: list[dict[str, Any]]) -> None:
    head = ("compound", "experiment", "best", "mean field", "replica", "sqs", "T / K", "class")
    print("\n" + " ".join(f"{name:>11s}" for name in head) + "   (meV per B site)")

    def energy(row: Mapping[str, Any]) -> float:
        return -float("inf") if row["ordering_sqs_ev"] is None else float(row["ordering_sqs_ev"])

    right = judged = 0
    for row in sorted(rows, key=energy, reverse=True):
        if row["status"] != "ok":
            print(f"{row['compound']:>11s} {row['observed']:>11s} {row['error']}")
            continue
        energies = [
            f"{1e3 * row[f'ordering_{s}_ev']:.0f}" for s in ("mean_field", "replica", "sqs")
        ]
        kelvin = f"{row['ordering_temperature_k']:.0f}"
        cells = [row["compound"], row["observed"], row["best_order"], *energies, kelvin]
        print(" ".join(f"{cell:>11s}" for cell in [*cells, row["classification"]]))
        if row["observed"] != "disputed":
            judged += 1
            is_ordered = row["observed"] != "disordered"
            right += is_ordered == (row["classification"] != "disordered")
    print(f"{right} of {judged} on the right side of the threshold")


if __name__ == "__main__":
    sys.exit(main())
