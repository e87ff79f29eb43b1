"""The schema of ``campaign.yaml``, the front door of genmat.

:class:`Campaign` is what a file says, :class:`Target` answers whether a candidate is what was asked for, and
:func:`genmat.campaign.io.load_campaign` reads a file.
"""

from genmat.campaign.chemistry import Chemistry
from genmat.campaign.properties import PROPERTY_KINDS, Direction, PropertyName, PropertyTarget, Violation
from genmat.campaign.schema import Budget, Campaign, Generate, Learn, Resources, json_schema
from genmat.campaign.screen import Gates, Relax, Screen
from genmat.campaign.symmetry import CrystalSystem, Symmetry
from genmat.campaign.target import Target

__all__ = [
    "PROPERTY_KINDS",
    "Budget",
    "Campaign",
    "Chemistry",
    "CrystalSystem",
    "Direction",
    "Gates",
    "Generate",
    "Learn",
    "PropertyName",
    "PropertyTarget",
    "Relax",
    "Resources",
    "Screen",
    "Symmetry",
    "Target",
    "Violation",
    "json_schema",
]
