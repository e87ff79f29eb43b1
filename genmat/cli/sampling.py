"""``genmat sample``: structures from the foundation model, without a campaign and without a database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genmat.cli.session import session_of
from genmat.cli.terminal import caught_output, note, print_json, print_line
from genmat.errors import InputError

if TYPE_CHECKING:
    from genmat.campaign import Target
    from genmat.generation.draw import Draw

KINDS = (".extxyz", ".parquet", "")
"""Suffixes of what is written; a path without one is a folder of CIFs."""
RAW = {"oversample": 1, "avoid_known": False, "charge_balanced": False}
"""Parameters that keep whatever the model imagines first."""
CHUNK = 50
"""Draws between two signs of life."""


def sample(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    n: Annotated[int, typer.Option("-n", "--number", min=1, max=1_000_000, help="Draws.")] = 100,
    composition: Annotated[str | None, typer.Option(help="Reduced formula, such as LiFePO4.")] = None,
    space_group: Annotated[
        list[str] | None, typer.Option(help="Allowed space group, number or symbol; may be repeated.")
    ] = None,
    prop: Annotated[
        list[str] | None,
        typer.Option("--property", help="NAME=LOW..HIGH, either end may be missing; may be repeated.", metavar="RANGE"),
    ] = None,
    elements: Annotated[str | None, typer.Option(help="Allowed elements, such as Li,Fe,O.")] = None,
    required: Annotated[str | None, typer.Option(help="Elements that must occur, such as Li,O.")] = None,
    template: Annotated[str | None, typer.Option(help="Anonymous gene, such as 221:A.a,B.b,C.c.")] = None,
    max_atoms: Annotated[int, typer.Option(min=1, max=60, help="Atoms in the primitive cell.")] = 20,
    output: Annotated[
        Path, typer.Option(help="FILE.extxyz, FILE.parquet, or a FOLDER of CIFs.", metavar="PATH")
    ] = Path("samples.extxyz"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random streams.")] = 0,
    raw: Annotated[
        bool, typer.Option("--raw", help="Keep the first gene of each draw: no ranking, known ones included.")
    ] = False,
    models: Annotated[Path | None, typer.Option(help="Folder of trained models; default: those shipped.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Sample structures from the foundation model; nothing is relaxed and no database is touched.

    Example: genmat sample -n 20 --elements Li,Fe,P,O --property density=2..4 --output samples.extxyz
    """
    from genmat.interop.io import check_writable

    if output.suffix not in KINDS:
        msg = f"--output {output}: {output.suffix!r} is not written, expected .extxyz, .parquet or no suffix (CIFs)"
        raise InputError(msg)
    check_writable(output.parent)
    target = _target(composition, space_group, prop, elements, required, max_atoms)
    session = session_of(context)
    parameters: dict[str, Any] = {"template": template, **(RAW if raw else {})}
    if models is not None:
        parameters["models"] = str(models)
    with caught_output(session.settings.data_folder / "log" / "sample.log"):
        draws, warnings, weights = _draw(parameters, target, n=n, seed=seed)
        made = [draw for draw in draws if draw.structure is not None]
        if made:
            write_samples(made, output)
    summary = {
        "n": n,
        "structures": len(made),
        "failed": n - len(made),
        "output": str(output) if made else None,
        "seed": seed,
        "raw": raw,
        "models": weights,
        "warnings": warnings,
    }
    if as_json:
        print_json(summary)
        return
    reasons = sorted({draw.failure or "" for draw in draws if draw.structure is None})
    print_line(f"{len(made)} of {n} draws gave a structure: {output if made else 'nothing is written'}")
    if reasons:
        print_line(f"{n - len(made)} failed, such as: {reasons[0]}")


def write_samples(draws: list[Draw], path: Path) -> None:
    """Write the structures of draws, in the format that the suffix names.

    Parameters
    ----------
    draws
        Each with a structure.
    path
        ``.extxyz`` or ``.parquet`` file, or a folder of CIFs.
    """
    from genmat.interop.io import write_text
    from genmat.interop.samples import to_cif, to_extxyz, write_parquet

    named = [(f"{draw.index:06d}", draw.structure, draw) for draw in draws if draw.structure is not None]
    if not path.suffix:
        for name, structure, _ in named:
            write_text(path / f"{name}.cif", to_cif(structure))
    elif path.suffix == ".extxyz":
        write_text(path, "".join(to_extxyz(structure, name=name, score=draw.score) for name, structure, draw in named))
    else:
        write_parquet(path, [(name, structure, draw.score, dict(draw.origin)) for name, structure, draw in named])


def _draw(
    parameters: dict[str, Any], target: Target, *, n: int, seed: int
) -> tuple[list[Draw], list[str], dict[str, str]]:
    """Return the draws, the warnings and the SHA-256 of each weights file."""
    from genmat.generation import DrawContext, get_generator
    from workflows.session import current_reference

    generator = get_generator("foundation", parameters, reference=current_reference(), target=target)
    provenance = generator.provenance(target)
    for warning in provenance.get("warnings", ()):
        note(f"genmat: warning: target: {warning}")
    context = DrawContext(target=target, campaign="sample", round=0, seed=seed)
    draws: list[Draw] = []
    for first in range(0, n, CHUNK):
        draws += generator.draw(range(first, min(first + CHUNK, n)), context=context)
        if n > CHUNK:
            note(f"sampled {len(draws)} of {n}")
    return draws, list(provenance.get("warnings", ())), dict(provenance.get("models", {}))


def _target(
    composition: str | None,
    space_groups: list[str] | None,
    properties: list[str] | None,
    elements: str | None,
    required: str | None,
    max_atoms: int,
) -> Target:
    """Return what the options ask for; a mistake is told as in a campaign file."""
    from pydantic import ValidationError

    from genmat.campaign import Target
    from genmat.campaign.explain import explain

    chemistry: dict[str, Any] = {}
    if composition is not None:
        chemistry["composition"] = composition
    if elements is not None:
        chemistry["elements"] = _split(elements)
    if required is not None:
        chemistry["required"] = _split(required)
    target: dict[str, Any] = {"chemistry": chemistry, "n_atoms": {"min": 1, "max": max_atoms}}
    if space_groups:
        target["symmetry"] = {"space_groups": space_groups}
    if properties:
        target["properties"] = [_range(text) for text in properties]
    try:
        return Target.model_validate(target)
    except ValidationError as err:
        msg = f"options: {explain(err, model=Target)}"
        raise InputError(msg) from err


def _split(text: str) -> list[str]:
    return [item for item in re.split(r"[,\s]+", text) if item]


def _range(text: str) -> dict[str, Any]:
    """Return ``bulk_modulus=150..250`` as a campaign file has it; a single value is a range of no width."""
    name, _, ends = text.partition("=")
    low, dots, high = (part.strip() for part in ends.partition(".."))
    found: dict[str, Any] = {"name": name.strip()}
    try:
        if low or not dots:
            found["min"] = float(low)
        if high or not dots:
            found["max"] = float(high if dots else low)
    except ValueError:
        found = {}
    if len(found) < len(("name", "end")):
        msg = (
            f"--property {text!r} cannot be read, expected NAME=LOW..HIGH such as bulk_modulus=150..250 or density=..4"
        )
        raise InputError(msg)
    return found
