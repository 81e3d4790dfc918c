"""Parent lattices of the composition scans, as plain numbers.

Only cubic lattices whose sites lie on inversion centres or are held by symmetry are listed: for
them one length fixes the structure, and relaxing that length relaxes the whole cell. Nothing heavy
is imported here, because configuration files are checked against this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Prototype(NamedTuple):
    """A cubic crystal whose sites are divided into sublattices.

    Attributes:
        name: Name in configuration files and tables.
        vectors: Lattice vectors of the primitive cell in units of the cubic lattice parameter.
        sites: Fractional position in the primitive cell and sublattice of each site.
        sites_per_cube: Number of sites in the conventional cubic cell.
        neighbour_distance: Shortest distance between sites in units of the lattice parameter.
        reference: Prototype in which the end members of a mixing energy are relaxed: the parent
            lattice without any order.
    """

    name: str
    vectors: tuple[tuple[float, float, float], ...]
    sites: tuple[tuple[tuple[float, float, float], str], ...]
    sites_per_cube: int
    neighbour_distance: float
    reference: str

    @property
    def sublattices(self) -> dict[str, int]:
        """Number of sites of each sublattice in the primitive cell, in order."""
        counts: dict[str, int] = {}
        for _, sublattice in self.sites:
            counts[sublattice] = counts.get(sublattice, 0) + 1
        return counts


_CUBE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_FACE_CENTRED = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_BODY_CENTRED = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))
_ORIGIN = (0.0, 0.0, 0.0)
_CENTRE = (0.5, 0.5, 0.5)
_FACES = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))

PROTOTYPES = {
    prototype.name: prototype
    for prototype in (
        Prototype("fcc", _FACE_CENTRED, ((_ORIGIN, "site"),), 4, 0.5**0.5, "fcc"),
        Prototype("bcc", _BODY_CENTRED, ((_ORIGIN, "site"),), 2, 0.75**0.5, "bcc"),
        Prototype(
            "L1_2",
            _CUBE,
            ((_ORIGIN, "corner"), *((face, "face") for face in _FACES)),
            4,
            0.5**0.5,
            "fcc",
        ),
        Prototype("B2", _CUBE, ((_ORIGIN, "corner"), (_CENTRE, "centre")), 2, 0.75**0.5, "bcc"),
    )
}
"""All prototypes by name."""
