"""``genmat init`` and ``genmat schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genmat.cli.terminal import print_json, print_line
from genmat.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def init(  # noqa: PLR0913 - one a question
    folder: Annotated[Path, typer.Argument(help="Folder; created if need be.", metavar="[FOLDER]")] = Path(),
    *,
    queue: Annotated[
        str | None, typer.Option(help="Write the files of a cluster instead: slurm or pbs.", metavar="KIND")
    ] = None,
    gpu_partition: Annotated[str | None, typer.Option(help="Partition or queue with GPUs.")] = None,
    cpu_partition: Annotated[str | None, typer.Option(help="Partition or queue of CPU nodes.")] = None,
    account: Annotated[str | None, typer.Option(help="Account that pays.")] = None,
    walltime: Annotated[str, typer.Option(help="Longest time of a queue job.")] = "12:00:00",
    gpus: Annotated[int, typer.Option(min=0, max=64, help="GPUs of a queue job, one worker each.")] = 1,
    cores: Annotated[int, typer.Option(min=1, max=1024, help="Cores of a worker.")] = 4,
    environment: Annotated[
        Path | None, typer.Option(help="Shell script that jobs source first: modules, variables.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write a commented campaign.yaml to begin with, and its JSON Schema for editors; or the files of a cluster.

    Example: genmat init my-project; genmat init --queue slurm --gpu-partition gpu --cpu-partition cpu
    """
    from genmat.campaign import json_schema

    if queue is not None:
        from genmat.cli.site import SiteAnswers, write_site

        answers = SiteAnswers(queue, gpu_partition, cpu_partition, account, walltime, gpus, cores, environment)
        write_site(answers, folder=None if folder == Path() else folder, as_json=as_json)
        return
    files = {CAMPAIGN: STARTER, SCHEMA: _schema_text(json_schema())}
    paths = write_new(folder, files)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        print_line(f"wrote {paths[0]} and {paths[1]}; edit the first, then: genmat run {paths[0]}")


def write_new(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write files that must not exist yet, and return their paths.

    Raises
    ------
    StorageError
        If one exists or the folder cannot be written; nothing is written.
    """
    from genmat.interop.io import check_writable, write_text

    paths = [folder / name for name in files]
    for path in paths:
        if path.exists():
            msg = f"{path} exists and is not overwritten: choose another folder, or move it away"
            raise StorageError(msg)
    check_writable(folder)
    for path, text in zip(paths, files.values(), strict=True):
        write_text(path, text)
    return paths


def schema() -> None:
    """Print the JSON Schema of campaign.yaml.

    Example: genmat schema > campaign.schema.json
    """
    from genmat.campaign import json_schema

    typer.echo(_schema_text(json_schema()), nl=False)


def _schema_text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
