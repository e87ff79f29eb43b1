"""The result of an evaluation: rows, proportions with intervals, and what they rest on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.evaluation.published import compare
from genmat.screening.ssun import CONFIDENCE, Proportion, ssun, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genmat.evaluation.options import Options
    from genmat.evaluation.published import Comparison
    from genmat.evaluation.row import Row
    from genmat.screening.ssun import SsunDefinition

FAR_BELOW = -0.2
"""Distance to the hull below which a stable crystal is to be doubted, eV/atom: some of its competitors are missing."""

SCHEMA_VERSION = 1
"""Version of :meth:`Evaluation.to_dict`."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Everything that two results must share to be comparable.

    Parameters
    ----------
    ssun
        What symmetric, stable, unique and novel mean.
    options
        Tolerances, subset, seed and protocol.
    composition_test, structure_test
        Names of the tests of validity, versions included.
    unique_among
        Which samples a sample is compared with.
    versions
        Versions of the programs that decide about numbers.
    """

    ssun: SsunDefinition
    options: Options
    composition_test: str
    structure_test: str
    unique_among: str
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as JSON-serialisable mapping."""
        return {
            **self.ssun.to_dict(),
            "options": self.options.to_dict(),
            "composition_test": self.composition_test,
            "structure_test": self.structure_test,
            "unique_among": self.unique_among,
            "versions": self.versions,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of one set of samples.

    Parameters
    ----------
    definition
        What was asked.
    rows
        One a sample, in the order of the samples.
    """

    definition: Definition
    rows: tuple[Row, ...]

    @property
    def relaxed(self) -> tuple[Row, ...]:
        """Rows of the relaxed subset, failed relaxations and unscorable samples included."""
        return tuple(row for row in self.rows if row.selected)

    def all_samples(self) -> dict[str, Proportion]:
        """Return the metrics over all samples; ``p1_of_novel`` is over the novel ones.

        Notes
        -----
        A crystal without a space group (``no_space_group``: the search fails where atoms coincide within ``symprec``)
        counts as P1.
        """
        tests: dict[str, Callable[[Row], bool]] = {
            "scorable": lambda row: row.scorable,
            "composition_valid": lambda row: row.composition_valid,
            "structure_valid": lambda row: row.structure_valid,
            "valid": lambda row: row.valid,
            "unique": lambda row: row.unique,
            "novel": lambda row: row.novel,
            "unique_and_novel": lambda row: row.unique and row.novel,
            "symmetric": lambda row: (row.number_before or 1) > 1,
            "no_space_group": lambda row: row.scorable and row.number_before is None,
        }
        result = {name: _proportion(map(test, self.rows)) for name, test in tests.items()}
        result["p1_of_novel"] = _proportion((row.number_before or 1) == 1 for row in self.rows if row.novel)
        return result

    def relaxed_samples(self) -> dict[str, Proportion]:
        """Return S.S.U.N. and its parts over the relaxed subset; empty if nothing was relaxed.

        Notes
        -----
        ``missing_reference`` competes with elements alone and is not stable. ``far_below_hull`` is stable, but so far
        below the hull (``FAR_BELOW``) that the hull rather than the crystal explains it.
        """
        rows = self.relaxed
        if not rows:
            return {}
        report = ssun([row.outcome for row in rows], definition=self.definition.ssun)
        found = dict(report.proportions)
        found["converged"] = _proportion(row.energy_per_atom is not None for row in rows)
        found["lost_symmetry"] = _proportion((row.number_before or 1) > 1 and row.number_after == 1 for row in rows)
        found["far_below_hull"] = _proportion(bool(row.stable) and _is_far_below(row) for row in rows)
        found["missing_reference"] = _proportion(row.reason == "missing_reference" for row in rows)
        return found

    def space_groups(self, *, after: bool = False) -> dict[int, int]:
        """Return how many samples have each space group: all as drawn, or the relaxed ones after relaxation."""
        numbers = [row.number_after if after else row.number_before for row in self.rows]
        return dict(sorted(Counter(number for number in numbers if number is not None).items()))

    def reasons(self) -> dict[str, int]:
        """Return how many samples of the relaxed subset have each reason, the most frequent first."""
        return dict(Counter(row.reason for row in self.relaxed).most_common())

    def relaxation(self) -> dict[str, float | int | None]:
        """Return steps and distances of the relaxed subset: means over converged ones, eV/atom."""
        rows = [row for row in self.relaxed if row.energy_per_atom is not None]
        steps = [row.n_steps for row in rows if row.n_steps is not None]
        above = [row.energy_above_hull for row in rows if row.energy_above_hull is not None]
        return {
            "n_relaxed": len(self.relaxed),
            "n_converged": len(rows),
            "mean_steps": float(np.mean(steps)) if steps else None,
            "median_energy_above_hull": float(np.median(above)) if above else None,
        }

    def comparison(self) -> Comparison | None:
        """Return the agreement with published distances; ``None`` where there are none."""
        return compare(self.rows, tolerance=self.definition.options.hull_tolerance)

    def to_dict(self) -> dict[str, Any]:
        """Return metrics and definition, without rows, as JSON-serialisable mapping."""
        comparison = self.comparison()
        return {
            "schema_version": SCHEMA_VERSION,
            "definition": self.definition.to_dict(),
            "confidence": CONFIDENCE,
            "n_samples": len(self.rows),
            "all_samples": {name: item.to_dict() for name, item in self.all_samples().items()},
            "relaxed_samples": {name: item.to_dict() for name, item in self.relaxed_samples().items()},
            "relaxation": self.relaxation(),
            "reasons": self.reasons(),
            "space_groups_before": {str(number): n for number, n in self.space_groups().items()},
            "space_groups_after": {str(number): n for number, n in self.space_groups(after=True).items()},
            "published": None if comparison is None else comparison.to_dict(),
        }


def _is_far_below(row: Row) -> bool:
    return row.energy_above_hull is not None and row.energy_above_hull < FAR_BELOW


def _proportion(flags: Iterable[bool]) -> Proportion:
    given = list(flags)
    low, high = wilson_interval(sum(given), len(given))
    return Proportion(sum(given), 0, len(given), low, high)
