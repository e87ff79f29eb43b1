"""χ ↔ x: crystals as space group, orbits and lattice; genes, identities and fingerprints.

Pure: numpy, spglib and pymatgen's core, no files but the packaged Wyckoff table, no torch.
"""

from genmat.representation.conversion import from_arrays, from_structure, to_arrays, to_structure
from genmat.representation.crystal import ELEMENTS, Crystal, Orbit
from genmat.representation.fingerprint import average_minimum_distances, neighbour_distances
from genmat.representation.gene import (
    anonymous_gene,
    anonymous_gene_of_occupations,
    gene,
    gene_of_occupations,
    parse_gene,
)
from genmat.representation.identity import content_id
from genmat.representation.lattice import (
    LatticeParameters,
    constrain,
    conventional_volume,
    crystal_system,
    free_lattice_parameters,
    lattice_is_compatible,
    lattice_matrix,
    lattice_parameters,
)
from genmat.representation.wyckoff import SpaceGroup, WyckoffPosition, space_group, wyckoff_positions

__all__ = [
    "ELEMENTS",
    "Crystal",
    "LatticeParameters",
    "Orbit",
    "SpaceGroup",
    "WyckoffPosition",
    "anonymous_gene",
    "anonymous_gene_of_occupations",
    "average_minimum_distances",
    "constrain",
    "content_id",
    "conventional_volume",
    "crystal_system",
    "free_lattice_parameters",
    "from_arrays",
    "from_structure",
    "gene",
    "gene_of_occupations",
    "lattice_is_compatible",
    "lattice_matrix",
    "lattice_parameters",
    "neighbour_distances",
    "parse_gene",
    "space_group",
    "to_arrays",
    "to_structure",
    "wyckoff_positions",
]
