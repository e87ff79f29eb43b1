"""Evaluate any set of structures: validity, uniqueness, novelty, symmetry, stability, S.S.U.N."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from genmat import __version__
from genmat.energy import check_same_scale
from genmat.errors import GenmatError, InputError, MissingReferenceError
from genmat.evaluation.describe import Described, describe_sample
from genmat.evaluation.evaluation import Definition, Evaluation
from genmat.evaluation.options import Options
from genmat.evaluation.relaxing import relax_samples
from genmat.evaluation.row import UNSCORABLE, Row
from genmat.evaluation.validity import (
    STRUCTURE_TEST,
    composition_test_name,
    is_composition_valid,
    is_structure_valid,
)
from genmat.reference.sources.structure import check_structure
from genmat.screening.identity import MATCHER
from genmat.screening.novelty import NoveltyIndex
from genmat.screening.ssun import SsunDefinition
from genmat.screening.stability import check_stability
from genmat.screening.uniqueness import Candidate, find_duplicates
from genmat.screening.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pymatgen.core.structure import Structure

    from genmat.evaluation.relaxing import Progress, Relaxed
    from genmat.evaluation.sample import Sample
    from genmat.models.pool import PotentialPool
    from genmat.reference.hull import Hull
    from genmat.reference.journal import Journal
    from genmat.reference.table import Reference

_UNIQUE_AMONG = "as drawn: all samples of the set, the first counts; after relaxation: the relaxed subset"

_FAILURES = {
    "unsupported_element": Reason.UNSUPPORTED_ELEMENT,
    "not_finite": Reason.RELAXATION_FAILED,
    "evaluation_failed": Reason.RELAXATION_FAILED,
    "volume_collapsed": Reason.EXPLODED,
    "volume_exploded": Reason.EXPLODED,
    "not_converged": Reason.NOT_CONVERGED,
}
"""Verdict of each failure of a relaxation (:class:`genmat.models.protocol.Failure`)."""

_BAD_CRYSTAL = (GenmatError, ValueError, ArithmeticError, LookupError, RuntimeError, np.linalg.LinAlgError)
"""What libraries raise about a crystal that no library was made for."""


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def evaluate(
    samples: Sequence[Sample],
    *,
    reference: Reference,
    options: Options | None = None,
    pool: PotentialPool | None = None,
    journal: Journal | None = None,
    facets: Path | None = None,
    progress: Progress = _silent,
) -> Evaluation:
    """Return the metrics of a set of samples.

    Parameters
    ----------
    samples
        One a draw of the generator: duplicates and unusable ones belong to the set, they are in every denominator.
    reference
        Known crystals, of novelty and of the hull.
    options
        What the words mean; default: all samples are relaxed if there is a pool.
    pool
        Processes that relax, of the potential whose energies the reference holds; ``None`` to judge no stability.
    journal
        Relaxations done before, and where to write those done; ``None`` to keep nothing.
    facets
        File of the hull's facets, read and written; ``None`` to compute them.
    progress
        Called with the stage, what is done and the total.

    Returns
    -------
    Evaluation
        A sample that cannot be scored stays in it with its reason; nothing raises because a sample is bad.

    Raises
    ------
    InputError
        If there are no samples, or some are to be relaxed and there is no pool.
    EnergyScaleError
        If the potential's energies do not lie on the scale of the reference.
    """
    chosen = Options() if options is None else options
    if not samples:
        msg = "there are no samples to evaluate, expected one or more structures"
        raise InputError(msg)
    if pool is None and chosen.relax:
        msg = f"{chosen.relax} samples are to be relaxed, and there is no pool of potentials: give one, or relax=0"
        raise InputError(msg)
    if pool is not None:
        check_same_scale(reference.scale, pool.potential.scale, what="the distance to the hull")
    index = NoveltyIndex(reference)
    rows, described = _describe(samples, index, options=chosen, progress=progress)
    if pool is not None and chosen.relax != 0:
        subset = select(len(samples), chosen)
        structures = {place: described[place].structure for place in subset if place in described}
        relaxed = relax_samples(structures, options=chosen, pool=pool, journal=journal, progress=progress)
        for place in subset:
            rows[place] = replace(rows[place], selected=True)
        hull = reference.hull()
        judge = _Judge(index, hull if facets is None else hull.with_cache(facets), chosen)
        rows = judge.rows(rows, relaxed)
    return Evaluation(_definition(reference, chosen, pool), tuple(_with_reason(row) for row in rows))


def select(n_samples: int, options: Options) -> list[int]:
    """Return the positions of the samples that are relaxed, in random order; more samples begin with the same ones."""
    order: list[int] = np.random.default_rng(options.seed).permutation(n_samples).tolist()
    return order[: options.relax]


def _describe(
    samples: Sequence[Sample], index: NoveltyIndex, *, options: Options, progress: Progress
) -> tuple[list[Row], dict[int, Described]]:
    """Return rows with what holds for samples as drawn, and the crystals of those that have one."""
    rows: list[Row] = []
    described: dict[int, Described] = {}
    for place, sample in enumerate(samples):
        if sample.structure is None:
            row = Row(sample.id, reason=UNSCORABLE, detail=sample.problem, published=sample.published)
        else:
            try:
                crystal = describe_sample(check_structure(sample.structure, name=sample.id), symprec=options.symprec)
                match = index.find(crystal.description)
                row = Row(
                    sample.id,
                    formula=crystal.description.formula,
                    n_sites=len(crystal.structure),
                    number_before=crystal.number,
                    composition_valid=is_composition_valid(crystal.structure.composition),
                    structure_valid=is_structure_valid(sample.structure),
                    novel=match is None,
                    known_as=None if match is None else match.material_id,
                    evidence=None if match is None else match.evidence.value,
                    published=sample.published,
                )
                described[place] = crystal
            except _BAD_CRYSTAL as err:
                detail = " ".join(str(err).split())[:200] or type(err).__name__
                row = Row(sample.id, reason=UNSCORABLE, detail=detail, published=sample.published)
        rows.append(row)
        progress("described", place + 1, len(samples))
    duplicates = _duplicates(described)
    for place, first in duplicates.items():
        of = None if first is None else samples[first].id
        rows[place] = replace(rows[place], unique=first is None, duplicate_of=of)
    return rows, described


def _duplicates(described: Mapping[int, Described]) -> dict[int, int | None]:
    """Return the position of the earlier sample that each sample repeats."""
    draws = [Candidate(str(place), (0, place), crystal.description) for place, crystal in described.items()]
    found = find_duplicates(draws)
    return {int(name): None if item is None else int(item.id) for name, item in found.items()}


class _Judge:
    """Judges relaxed samples."""

    def __init__(self, index: NoveltyIndex, hull: Hull, options: Options) -> None:
        self.index = index
        self.hull = hull
        self.options = options

    def rows(self, rows: list[Row], outcomes: Mapping[int, Relaxed]) -> list[Row]:
        """Return the rows with what holds after relaxation."""
        result = list(rows)
        relaxed: dict[int, Described] = {}
        for place, outcome in outcomes.items():
            row = replace(
                result[place],
                n_steps=outcome.n_steps,
                volume_ratio=outcome.volume_ratio,
                stable=False,
                energy_above_hull_start=self._distance(outcome.structure, outcome.start_energy_per_atom),
                energy_above_hull_symmetric=self._distance(outcome.structure, outcome.symmetric_energy_per_atom),
            )
            if outcome.failure is not None:
                detail = f"{outcome.failure} after {outcome.n_steps} steps, fmax {outcome.fmax:.3g} eV/Å"
                result[place] = replace(row, reason=_FAILURES[outcome.failure].value, detail=detail)
                continue
            try:
                relaxed[place] = describe_sample(outcome.structure, symprec=self.options.symprec)
                result[place] = self._judged(row, outcome, relaxed[place])
            except _BAD_CRYSTAL as err:
                relaxed.pop(place, None)
                detail = f"after relaxation: {' '.join(str(err).split())[:200]}"
                result[place] = replace(row, reason=Reason.RELAXATION_FAILED.value, detail=detail)
        # In the order of the samples, so that the first of equal crystals counts.
        for place, earlier in _duplicates(relaxed).items():
            detail = "" if earlier is None else f"relaxed to the same crystal as {rows[earlier].id}"
            row = result[place]
            result[place] = replace(row, unique_relaxed=earlier is None, detail=row.detail or detail)
        return result

    def _distance(self, structure: Structure, energy_per_atom: float) -> float | None:
        """Return a distance to the hull; ``None`` where there is no energy or no reference."""
        if not np.isfinite(energy_per_atom):
            return None
        try:
            return self.hull.energy_above_hull(structure.composition, energy_per_atom, scale=self.hull.scale)
        except MissingReferenceError:
            return None

    def _judged(self, row: Row, outcome: Relaxed, crystal: Described) -> Row:
        verdict = check_stability(
            outcome.structure.composition,
            outcome.energy_per_atom,
            hull=self.hull,
            scale=self.hull.scale,
            tolerance=self.options.hull_tolerance,
            covered_hull=self.options.covered_hull,
        )
        above, phases = verdict.values.get("energy_above_hull"), verdict.values.get("competing_phases")
        match = self.index.find(crystal.description)
        return replace(
            row,
            number_after=crystal.number,
            energy_per_atom=outcome.energy_per_atom,
            energy_above_hull=None if above is None else float(above),
            competing_phases=None if phases is None else str(phases),
            stable=verdict.passed,
            novel_relaxed=match is None,
            known_as=row.known_as or (None if match is None else match.material_id),
            evidence=row.evidence or (None if match is None else match.evidence.value),
            reason="" if verdict.passed else verdict.reason.value,
            detail="" if verdict.passed else verdict.detail,
        )


def _with_reason(row: Row) -> Row:
    """Return the row with the first test that it failed, ``ok`` if it passed all of them."""
    if row.reason:
        return row
    tests = (
        (row.unique, Reason.DUPLICATE, f"the same crystal as {row.duplicate_of}"),
        (row.novel, Reason.KNOWN, f"known as {row.known_as} by {row.evidence}"),
        (row.unique_relaxed is not False, Reason.DUPLICATE_AFTER_RELAXATION, row.detail),
        (row.novel_relaxed is not False, Reason.KNOWN_AFTER_RELAXATION, f"known as {row.known_as} by {row.evidence}"),
        (not row.selected or (row.number_after or 1) > 1, Reason.LOST_SYMMETRY, "P1 after symmetry-free relaxation"),
    )
    for passed, reason, detail in tests:
        if not passed:
            return replace(row, reason=reason.value, detail=detail)
    return replace(row, reason=Reason.OK.value if row.selected else Reason.NOT_SELECTED.value)


def _definition(reference: Reference, options: Options, pool: PotentialPool | None) -> Definition:
    counts = reference.summary()
    potential = reference.metadata.potential
    ssun = SsunDefinition(
        hull_tolerance=options.hull_tolerance,
        hull=f"{potential} energies of {counts['with_energy']:,} crystals, {counts['relaxed']:,} of them relaxed",
        potential="none: nothing was relaxed" if pool is None else pool.potential.name,
        potential_sha256="" if pool is None else pool.potential.sha256,
        relaxation=f"primitive cell; {options.protocol.text}",
        reference_id=reference.id,
        snapshot_id="",
        matcher=MATCHER,
        symprec=options.symprec,
        denominator="all samples of the relaxed subset, unscorable ones and failed relaxations included",
    )
    versions = {name: version(name) for name in ("pymatgen", "smact", "spglib")} | {"genmat": __version__}
    return Definition(ssun, options, composition_test_name(), STRUCTURE_TEST, _UNIQUE_AMONG, versions)
