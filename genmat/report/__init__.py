"""The report of a campaign: values in, one self-contained HTML page out.

:func:`render` makes the page of a :class:`CampaignReport`; what it draws from the verdicts stands in
:mod:`genmat.report.outcome`.
"""

from genmat.report.content import (
    CampaignReport,
    Decomposition,
    HullPoint,
    HullSystem,
    ReportedCandidate,
    RoundRecord,
    StageVerdict,
)
from genmat.report.page import N_BEST, render

__all__ = [
    "N_BEST",
    "CampaignReport",
    "Decomposition",
    "HullPoint",
    "HullSystem",
    "ReportedCandidate",
    "RoundRecord",
    "StageVerdict",
    "render",
]
