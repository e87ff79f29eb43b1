"""``genmat init`` and ``genmat schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genmat.cli.terminal import print_json, print_line
from genmat.errors import StorageError

CAMPAIGN = "campaign.yaml"
SCHEMA = "campaign.schema.json"

STARTER = """\
# yaml-language-server: $schema=campaign.schema.json
# A campaign: what to look for, how to propose it, how to sieve it. Run it with: genmat run campaign.yaml
# Every key with its unit and default is in campaign.schema.json; editors complete and check this file with it.
name: my-campaign

target:
  properties:                       # also formation_energy_per_atom, volume_per_atom, bulk_modulus
    - {name: energy_above_hull, unit: eV/atom, max: 0.08, weight: 2}
    - {name: density, unit: g/cm^3, max: 5}
  chemistry:
    elements: [Li, Na, K, Mg, Ca, Al, Ti, Zr, O, S, F, Cl, Br]    # allowed; without this line all 89
    # required: [Li]                # each candidate has these
    # excluded: [Be]
    # chemical_system: Li-Ti-O      # these elements and no others
    # composition: Li2TiO3          # this formula and no other
    n_elements: {min: 2, max: 4}
  # symmetry:
  #   crystal_systems: [cubic]      # or space_groups: [Fm-3m, 227]
  n_atoms: {max: 12}                # in the primitive cell

generate:
  n: 200                            # draws in each round
  seed: 1                           # the same seed gives the same candidates

screen:
  potential: chgnet-0.3.0
  hull_tolerance: 0.08              # τ, eV/atom: what lies higher above the hull falls
  max_relaxed: 40                   # in each round; relaxing is what takes the time

learn:
  rounds: 2                         # the second proposes more of what succeeded in the first

# budget: {max_hours: 1}
# resources: {workers: 2}           # processes that relax; changes no result
"""


def init(
    folder: Annotated[Path, typer.Argument(help="Folder; created if need be.", metavar="[FOLDER]")] = Path(),
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write a commented campaign.yaml to begin with, and its JSON Schema for editors.

    Example: genmat init my-project
    """
    from genmat.campaign import json_schema
    from genmat.interop.io import check_writable, write_text

    paths = [folder / CAMPAIGN, folder / SCHEMA]
    for path in paths:
        if path.exists():
            msg = f"{path} exists and is not overwritten: choose another folder, or move it away"
            raise StorageError(msg)
    check_writable(folder)
    for path, text in zip(paths, (STARTER, _schema_text(json_schema())), strict=True):
        write_text(path, text)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        print_line(f"wrote {paths[0]} and {paths[1]}; edit the first, then: genmat run {paths[0]}")


def schema() -> None:
    """Print the JSON Schema of campaign.yaml.

    Example: genmat schema > campaign.schema.json
    """
    from genmat.campaign import json_schema

    typer.echo(_schema_text(json_schema()), nl=False)


def _schema_text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
