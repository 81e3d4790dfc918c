"""Filters and order of a screening, on tables made by hand."""

from __future__ import annotations

import math

import pytest
from ase.units import kB

from softatoms.config.screening import Filter, Screening
from softatoms.errors import SoftatomsError
from softatoms.screening.ranking import entropy_of, ideal_entropy, rank

ELEMENTS = ("Au", "Cu", "Ni")


def row(identifier: str, **changes: object) -> dict[str, object]:
    values: dict[str, object] = {
        "composition_id": identifier,
        "scan": "s",
        "prototype": "fcc",
        "formula": identifier,
        "method": "mean_field",
        "replicate": 0,
        "x_Au": 0.0,
        "x_Cu": 0.5,
        "x_Ni": 0.5,
        "occupation": "site:Cu=0.5,Ni=0.5",
        "a_ang": 3.6,
        "volume_ang3_per_atom": 11.0,
        "energy_ev_per_atom": -4.0,
        "mixing_ev_per_atom": 0.01,
        "bulk_modulus_gpa": 150.0,
        "status": "ok",
    }
    return {**values, **changes}


def pure(element: str, energy: float, prototype: str = "fcc") -> dict[str, object]:
    fractions = {f"x_{e}": float(e == element) for e in ELEMENTS}
    return row(
        f"{prototype}-{element}",
        prototype=prototype,
        energy_ev_per_atom=energy,
        mixing_ev_per_atom=0.0,
        occupation=f"site:{element}=1",
        **fractions,
    )


def names(rows, **options) -> list[str]:
    options.setdefault("rank_by", "mixing_ev_per_atom")
    filters = [Filter(**condition) for condition in options.pop("filters", [])]
    ranked = rank(rows, Screening(filters=filters, **options), ELEMENTS)
    assert [r["rank"] for r in ranked] == list(range(1, len(ranked) + 1))
    return [r["composition_id"] for r in ranked]


ORDERED = {
    "prototype": "L1_2",
    "occupation": "corner:Ni=1;face:Cu=0.666666666667,Ni=0.333333333333",
}

THREE = [
    row("b", mixing_ev_per_atom=0.02, bulk_modulus_gpa=100.0),
    row("a", mixing_ev_per_atom=-0.01, bulk_modulus_gpa=120.0, **ORDERED),
    row("c", mixing_ev_per_atom=0.03, x_Au=0.25, x_Cu=0.25, bulk_modulus_gpa=None),
]


def test_order():
    assert names(THREE) == ["a", "b", "c"]
    assert names(THREE, order="descending") == ["c", "b", "a"]
    assert names(THREE, rank_by="x_Au", order="descending")[0] == "c"
    assert names(THREE, keep=1) == ["a"]


def test_equal_values_are_ordered_by_identifier():
    rows = [row("z"), row("y"), row("x")]
    for order in ("ascending", "descending"):
        assert names(rows, order=order) == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("condition", "passing"),
    [
        ({"column": "n_elements", "at_least": 3}, ["c"]),
        ({"column": "n_elements", "at_most": 2}, ["a", "b"]),
        ({"column": "x_Cu", "at_least": 0.5}, ["a", "b"]),
        ({"column": "mixing_ev_per_atom", "at_least": 0.02, "at_most": 0.02}, ["b"]),
        ({"column": "prototype", "one_of": ["L1_2", "hcp"]}, ["a"]),
        ({"column": "bulk_modulus_gpa", "at_least": 0.0}, ["a", "b"]),
    ],
)
def test_filters(condition, passing):
    assert names(THREE, filters=[condition]) == passing


def test_all_filters_must_be_met():
    filters = [{"column": "n_elements", "at_most": 2}, {"column": "prototype", "one_of": ["fcc"]}]
    assert names(THREE, filters=filters) == ["b"]


def test_other_methods_and_rows_without_results_take_no_part():
    rows = [*THREE, row("d", method="replica"), row("e", status="failed", mixing_ev_per_atom=None)]
    assert names(rows) == ["a", "b", "c"]
    assert names(rows, methods=["replica"]) == ["d"]


def test_ranking_by_what_is_missing_is_refused():
    with pytest.raises(SoftatomsError, match=r"screening\.rank_by: 'bulk_modulus_gpa' is missing"):
        names(THREE, rank_by="bulk_modulus_gpa")
    with pytest.raises(SoftatomsError, match="'formation_ev_per_atom' is missing"):
        names([*THREE, row("d", prototype="bcc")], rank_by="formation_ev_per_atom")


def test_best_prototype_of_each_composition():
    rows = [row("f", energy_ev_per_atom=-4.0), row("b", prototype="bcc", energy_ev_per_atom=-4.1)]
    options = {"best_prototype_only": True, "rank_by": "x_Cu", "order": "descending"}
    assert names(rows, **options) == ["b"]
    assert names([*rows, THREE[2]], **options) == ["b", "c"]


def test_replicates_are_averaged_before_prototypes_are_compared():
    """The lowest of the bcc cells is below fcc, their mean is above."""
    cells = [
        row(f"b{k}", prototype="bcc", method="sqs", replicate=k, energy_ev_per_atom=energy)
        for k, energy in enumerate((-4.2, -3.9, -3.9))
    ]
    fcc = [
        row(f"f{k}", method="sqs", replicate=k, energy_ev_per_atom=energy, a_ang=length)
        for k, (energy, length) in enumerate(((-4.06, 3.6), (-4.04, 3.7)))
    ]
    screening = Screening(methods=["sqs"], best_prototype_only=True, rank_by="energy_ev_per_atom")
    (best,) = rank([*cells, *fcc], screening, ELEMENTS)
    assert (best["composition_id"], best["replicates"]) == ("f0", 2)
    assert best["energy_ev_per_atom"] == pytest.approx(-4.05)
    assert best["a_ang"] == pytest.approx(3.65)
    assert best["standard_error_ev_per_atom"] == pytest.approx(0.01)
    (best,) = rank([*cells, fcc[1]], screening, ELEMENTS)
    assert (best["composition_id"], best["replicates"]) == ("f1", 1)
    assert best["standard_error_ev_per_atom"] is None


def test_energies_of_different_zeros_are_not_compared():
    rows = [row("a"), row("b", prototype="bcc", mixing_ev_per_atom=0.0)]
    with pytest.raises(
        SoftatomsError, match=r"screening\.rank_by: 'mixing_ev_per_atom' has a zero"
    ):
        names(rows)
    small = {"column": "mixing_ev_per_atom", "at_most": 0.0}
    with pytest.raises(SoftatomsError, match=r"screening\.filters: .* lattices bcc, fcc; compare"):
        names(rows, rank_by="a_ang", filters=[small])
    only = {"column": "prototype", "one_of": ["bcc"]}
    assert names(rows, filters=[small, only]) == ["b"]


def test_the_free_energy_ranks_all_lattices_from_one_zero():
    """Far above pure bcc but close to pure fcc, and the other way round."""
    rows = [
        *(pure("Cu", -3.5), pure("Ni", -4.5), pure("Cu", -3.2, "bcc"), pure("Ni", -4.2, "bcc")),
        row("fcc", energy_ev_per_atom=-3.99, mixing_ev_per_atom=0.01),
        row("bcc", prototype="bcc", energy_ev_per_atom=-3.9, mixing_ev_per_atom=-0.2),
    ]
    pairs = [{"column": "n_elements", "at_least": 2}]
    by = "mixing_free_energy_ev_per_atom"
    assert names(rows, rank_by=by, filters=pairs) == ["fcc", "bcc"]
    ranked = {r["composition_id"]: r for r in rank(rows, Screening(), ELEMENTS)}
    assert ranked["bcc"]["formation_ev_per_atom"] == pytest.approx(0.1)
    entropy = 1000.0 * kB * math.log(2.0)
    assert ranked["bcc"][by] == pytest.approx(0.1 - entropy, abs=1e-9)
    assert ranked["fcc"][by] == pytest.approx(0.01 - entropy, abs=1e-9)


def test_an_ordered_crystal_has_no_entropy():
    assert entropy_of("L1_2", "corner:Cu=1;face:Au=1") == 0.0
    assert entropy_of("B2", "corner:Cu=1;centre:Au=1") == 0.0
    half = "corner:Cu=1;face:Au=0.5,Cu=0.5"
    assert entropy_of("L1_2", half) == pytest.approx(0.75 * kB * math.log(2.0))
    # Without order it is that of the parent lattice.
    random = entropy_of("L1_2", "corner:Au=0.25,Cu=0.75;face:Au=0.25,Cu=0.75")
    assert random == pytest.approx(entropy_of("fcc", "site:Au=0.25,Cu=0.75"))
    ordered = row("o", prototype="L1_2", occupation="corner:Cu=1;face:Ni=1", x_Cu=0.25, x_Ni=0.75)
    (first,) = rank([ordered], Screening(), ELEMENTS)
    assert first["mixing_free_energy_ev_per_atom"] == 0.01
    assert first["occupation"] == "corner:Cu=1;face:Ni=1"


def test_formation_energy_is_relative_to_the_best_lattice_of_each_element():
    rows = [pure("Cu", -3.5), pure("Cu", -3.4, "bcc"), pure("Ni", -4.3), pure("Ni", -4.4, "bcc")]
    (first, *_) = rank([*rows, row("a")], Screening(rank_by="formation_ev_per_atom"), ELEMENTS)
    assert first["composition_id"] == "a"
    assert first["formation_ev_per_atom"] == pytest.approx(-4.0 - 0.5 * (-3.5 - 4.4))


def test_free_energy_of_mixing():
    (first,) = rank([row("a")], Screening(temperature_k=800.0), ELEMENTS)
    assert first["mixing_free_energy_ev_per_atom"] == pytest.approx(
        0.01 - 800.0 * kB * math.log(2.0), abs=1e-12
    )
    assert first["temperature_k"] == 800.0


def test_ideal_entropy():
    assert ideal_entropy({"Cu": 1.0}) == 0.0
    assert ideal_entropy({"Cu": 0.5, "Au": 0.5, "Ni": 0.0}) == pytest.approx(kB * math.log(2))
    assert ideal_entropy(dict.fromkeys("abcd", 0.25)) == pytest.approx(kB * math.log(4))
