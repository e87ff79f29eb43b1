"""A campaign in a notebook: ``genmat.Campaign("name")`` with tables, figures and structures. Read-only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from genmat.database.candidates import CandidateQuery
from genmat.database.statistics import funnel_of
from genmat.database.store import connect
from genmat.database.summary import state_of
from genmat.errors import CampaignError, GenmatError, MissingReferenceError
from genmat.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from pymatgen.core.structure import Structure

    from genmat.database.documents import CandidateDocument

_VARIABLE = re.compile(r"^var\((--[a-z0-9-]+)\)$")
_DEFINITION = re.compile(r"(--[a-z0-9-]+):\s*([^;]+);")


class Campaign:
    """What a campaign found.

    Parameters
    ----------
    name
        Name of the campaign.
    settings
        Settings; those of the environment and the configuration file by default.

    Raises
    ------
    CampaignError
        If there is no campaign of that name; the message names those that there are.
    """

    def __init__(self, name: str, *, settings: Settings | None = None) -> None:
        self._settings = settings or Settings.load()
        self._store = connect(self._settings, read_only=True)
        try:
            self.name = self._store.campaigns.require(name).id
        except GenmatError:
            self._store.close()
            raise

    def __repr__(self) -> str:
        """Return name, state and counts in one line."""
        counts: dict[str, int] = {}
        for end in self._store.statistics.ends(self.name):
            counts[end.status] = counts.get(end.status, 0) + end.count
        text = ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "no candidate yet"
        return f"Campaign({self.name!r}): {state_of(self._store.campaigns.require(self.name))}; {text}"

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def candidates(self, *, status: str | None = None) -> pd.DataFrame:
        """Return one row a candidate, best first; energies in eV/atom, properties in the campaign's units.

        Parameters
        ----------
        status
            Only ``active``, ``rejected`` or ``accepted`` ones.
        """
        import pandas as pd

        rows = [
            {
                "id": c.id,
                "rank": c.rank,
                "formula": c.formula_pretty,
                "space_group_number": c.space_group_number,
                "n_atoms": c.nsites,
                "round": c.round + 1,
                "status": c.status.value,
                "stage": c.stage,
                "reason": c.reason,
                "score": c.score,
                **c.properties,
                "energy_above_hull": c.energy_above_hull,
            }
            for c in self._candidates(status)
        ]
        table = pd.DataFrame(rows).set_index("id") if rows else pd.DataFrame()
        return table.sort_values(["rank", "energy_above_hull"], na_position="last") if rows else table

    def funnel(self) -> pd.DataFrame:
        """Return how many candidates each stage judged and let pass, and why the others fell, by round."""
        import pandas as pd

        ends = self._store.statistics.ends(self.name)
        rows = [
            {"round": number + 1, "stage": s.stage, "judged": s.judged, "passed": s.passed, "fallen": s.fallen}
            for number in sorted({end.round for end in ends})
            for s in funnel_of(ends, round_number=number)
        ]
        return pd.DataFrame(rows)

    def structures(self, *, status: str | None = "accepted") -> dict[str, Structure]:
        """Return crystals by candidate id, best first: relaxed ones, or as drawn where they were not relaxed."""
        chosen = sorted(self._candidates(status), key=lambda c: (c.rank is None, c.rank or 0, c.id))
        wanted = {c.id: key for c in chosen if (key := c.relaxed_structure_id or c.structure_id) is not None}
        found = self._store.structures.get_many(wanted.values())
        return {candidate: found[key].to_structure() for candidate, key in wanted.items() if key in found}

    def hull(self, system: str) -> go.Figure:
        """Return the hull diagram of two or three elements with the accepted candidates in it.

        Parameters
        ----------
        system
            Chemical system, such as ``Li-O``.

        Raises
        ------
        CampaignError
            If it has another number of elements.
        MissingReferenceError
            If an element has no reference.
        """
        import plotly.graph_objects as go

        from genmat.campaign.chemistry import check_chemical_system
        from genmat.reference.io import load_known
        from genmat.report.content import ReportedCandidate
        from genmat.report.hull_data import hull_system
        from genmat.report.hull_figures import hull_figure

        try:
            elements = tuple(check_chemical_system(system).split("-"))
        except ValueError as err:
            msg = f"chemical system {system!r}: {err}"
            raise CampaignError(msg) from err
        accepted = [ReportedCandidate.from_document(candidate) for candidate in self._candidates("accepted")]
        figure = hull_figure(hull_system(load_known(self._settings.reference).hull(), elements, accepted))
        if figure is None:
            msg = f"chemical system {system!r} has {len(elements)} elements, expected two or three, such as Li-O"
            raise CampaignError(msg)
        return go.Figure(_coloured(figure))

    def plot_parity(self, name: str = "energy_above_hull", *, axes: Axes | None = None) -> Axes:
        """Draw the potential's values of a property against those of DFT, and return the axes.

        Parameters
        ----------
        name
            Property.
        axes
            Axes of matplotlib to draw on; new ones by default.

        Raises
        ------
        MissingReferenceError
            If DFT has computed the property of no candidate.
        """
        pairs = self._store.statistics.pairs(self.name, name)
        if not pairs:
            msg = f"no candidate of {self.name!r} has {name} by DFT: validate some first (validate: in campaign.yaml)"
            raise MissingReferenceError(msg)
        if axes is None:
            from matplotlib import pyplot as plt

            axes = plt.subplots(figsize=(4.5, 4.5))[1]
        computed, screened = [pair.computed for pair in pairs], [pair.screened for pair in pairs]
        ends = [min(*computed, *screened), max(*computed, *screened)]
        axes.plot(ends, ends, color="0.6", linewidth=1)
        axes.scatter(computed, screened)
        axes.set_xlabel(f"{name.replace('_', ' ')}, {pairs[0].fidelity} ({pairs[0].unit})")
        axes.set_ylabel(f"{name.replace('_', ' ')}, potential ({pairs[0].unit})")
        axes.set_title(self.name)
        return axes

    def _candidates(self, status: str | None) -> Iterator[CandidateDocument]:
        return self._store.candidates.iterate(CandidateQuery(self.name, status=status).criteria)


def _coloured(figure: Any) -> Any:
    """Return a figure whose colours are those of the report's light theme."""
    from genmat.report.io import read_template

    colours = dict(_DEFINITION.findall(read_template("report.css").partition("@media")[0]))

    def walk(value: Any) -> Any:
        match value:
            case str():
                found = _VARIABLE.match(value)
                return colours.get(found[1], value).strip() if found else value
            case dict():
                return {key: walk(item) for key, item in value.items()}
            case list() | tuple():
                return [walk(item) for item in value]
        return value

    return walk(figure)
