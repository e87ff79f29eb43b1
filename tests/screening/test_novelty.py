"""Novelty: known crystals are recognised however they are described, others are not."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.screening.identity import Description, Evidence, describe
from genmat.screening.novelty import Added, NoveltyIndex
from genmat.screening.verdict import Reason, Stage

from .conftest import CRYSTALS, WITHOUT_GEOMETRY, gene_of


@pytest.fixture(scope="module")
def index(reference) -> NoveltyIndex:
    return NoveltyIndex(reference)


def described(structure: Structure) -> Description:
    return describe(structure, gene=gene_of(structure))


def changed(structure: Structure, *, volume: float = 1.0, displacement: float = 0.0) -> Structure:
    """Return a supercell in another orientation, with another volume and moved atoms."""
    result = structure.copy()
    result.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    result.scale_lattice(volume * result.volume)
    if displacement:
        result.perturb(displacement)
    return result


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("volume", [0.93, 1.0, 1.08])
def test_a_known_crystal_is_recognised_at_other_volumes_and_cells(index, name, volume):
    match = index.find(described(changed(CRYSTALS[name], volume=volume)))
    assert match.material_id == name
    assert match.evidence is (Evidence.GENE if name in WITHOUT_GEOMETRY else Evidence.MATCHER)


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_known_crystal_is_recognised_when_its_symmetry_is_broken(index, name):
    moved = changed(CRYSTALS[name], displacement=0.04)
    match = index.find(described(moved))
    assert match.material_id == name
    assert match.evidence in {Evidence.MATCHER, Evidence.FINGERPRINT}


def test_another_ordering_of_a_known_alloy_is_known_only_as_disordered(reference):
    sites = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    known = Structure(Lattice.tetragonal(3.6, 3.6), ["Fe", "Fe", "Co", "Co"], sites)
    layered = [[x, y, (z + shift) / 2] for shift in (0, 1) for x, y, z in sites]
    other = Structure(Lattice.tetragonal(3.6, 7.2), ["Fe"] * 4 + ["Co"] * 4, layered)
    extended = NoveltyIndex(reference, [Added("alloy", described(known))])
    assert extended.check(described(other)).passed
    verdict = extended.check(described(other), disordered=True)
    assert (verdict.passed, verdict.values["known_as"]) == (False, "alloy")
    assert verdict.values["evidence"] == "disordered_matcher"
    assert "substitute for each other" in verdict.detail
    salt = Structure(Lattice.tetragonal(3.6, 3.6), ["Na", "Na", "Cl", "Cl"], sites)
    assert extended.check(described(salt), disordered=True).passed


def test_another_polymorph_is_novel(index):
    wurtzite = Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(4.3, 7.0), ["Na", "Cl"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]]
    )
    verdict = index.check(described(wurtzite))
    assert verdict.passed
    assert verdict.values["same_formula"] == 2
    assert "none of 2 known crystals of NaCl" in verdict.detail


def test_the_same_structure_of_other_elements_is_novel(index):
    potassium = CRYSTALS["rock-salt"].copy()
    potassium.replace_species({"Na": "K"})
    assert index.find(described(potassium)) is None


def test_a_known_crystal_is_told_with_its_id_and_the_evidence(index, reference):
    verdict = index.check(described(CRYSTALS["rock-salt"]))
    assert verdict.reason is Reason.KNOWN
    assert verdict.values["known_as"] == "rock-salt"
    assert verdict.values["evidence"] == "matcher"
    assert verdict.values["reference_id"] == reference.id
    assert "known as rock-salt by StructureMatcher" in verdict.detail


def test_a_relaxed_crystal_has_its_own_reason(index):
    verdict = index.check(described(CRYSTALS["quartz"]), stage=Stage.NOVELTY_RELAXED)
    assert verdict.reason is Reason.KNOWN_AFTER_RELAXATION


def test_what_a_campaign_added_is_known_in_the_next_snapshot_only(index):
    perovskite = Structure(
        Lattice.cubic(3.9),
        ["Sr", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )
    later = index.with_added([Added("candidate", described(perovskite))])
    assert index.find(described(perovskite)) is None
    assert later.find(described(changed(perovskite, volume=1.05))).material_id == "candidate"
    assert len(later) == len(index) + 1
    assert later.find(described(CRYSTALS["quartz"])).material_id == "quartz"


def test_an_addition_of_a_known_formula_does_not_hide_the_reference(index):
    wurtzite = Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(4.3, 7.0), ["Na", "Cl"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]]
    )
    later = index.with_added([Added("w", described(wurtzite))])
    assert later.find(described(wurtzite)).material_id == "w"
    assert later.find(described(CRYSTALS["rock-salt"])).material_id == "rock-salt"


def test_twice_the_same_question_gives_the_same_answer(index):
    query = described(CRYSTALS["quartz"])
    assert index.find(query) == index.find(query)


def test_samples_of_a_generative_model_are_judged_as_the_matcher_does(shared_data):
    """Real crystals and real samples: gene and fingerprint alone agree with the matcher on almost every sample."""
    import pyarrow.parquet as pq
    from pymatgen.analysis.structure_matcher import StructureMatcher

    from genmat.screening.identity import find_same

    columns = ["formula", "lattice", "species", "frac_coords"]
    known = pq.read_table(shared_data / "mp_structures.parquet", columns=columns)
    rows: dict[str, list[int]] = {}
    for row, formula in enumerate(known["formula"].to_pylist()):
        rows.setdefault(formula, []).append(row)
    samples = pq.read_table(shared_data / "peers" / "wyformer_diffcsppp_mp20.parquet", columns=columns).to_pylist()
    samples = [sample for sample in samples if 0 < len(rows.get(sample["formula"], ())) < 6][:25]
    agreed = 0
    for sample in samples:
        query = described(_structure(sample).get_primitive_structure())
        others = [_structure(known.slice(row, 1).to_pylist()[0]) for row in rows[sample["formula"]]]
        seen = [describe(other, gene=gene_of(other)) for other in others]
        blind = [Description(other.formula, other.gene, other.fingerprint, None) for other in seen]
        found = find_same(query, np.stack([other.fingerprint for other in blind]), blind.__getitem__) is not None
        agreed += found == any(StructureMatcher().fit(query.structure, other) for other in others)
    assert agreed >= 0.85 * len(samples)


def _structure(row):
    return Structure(np.reshape(row["lattice"], (3, 3)), row["species"], np.reshape(row["frac_coords"], (-1, 3)))
