"""``genmat models add``, ``fetch`` and ``potentials``: which weights may be loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genmat.cli.session import session_of
from genmat.cli.terminal import print_json, print_line, print_table
from genmat.errors import InputError, PotentialError, did_you_mean

if TYPE_CHECKING:
    from genmat.energy import EnergyScale
    from genmat.models.potentials import Potential

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Sha256 = Annotated[str | None, typer.Option("--sha256", help="SHA-256 that the authors of the file state.")]
Trust = Annotated[bool, typer.Option("--trust", help="Vouch for the file: it is a pickle, loading it runs a program.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="KEY=VALUE for the model, such as head=matpes.", metavar="KEY=VALUE"),
]


def add(  # noqa: PLR0913 - the parts of a scale are never guessed
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name for campaigns.", metavar="NAME")],
    file: Annotated[Path | None, typer.Argument(help="Weights file, such as MACE's .model.", metavar="FILE")] = None,
    *,
    functional: Annotated[str, typer.Option(help="Functional of its energies, such as PBE.")],
    hubbard: Annotated[str, typer.Option(help="Hubbard U of its energies: MP (as MPRelaxSet) or none.")],
    pseudopotentials: Annotated[str, typer.Option(help="Pseudopotentials of its energies, such as PBE or PBE_54.")],
    correction: Annotated[
        str, typer.Option(help="Correction that its energies contain: none for raw ones, or MP2020.")
    ],
    labels: Annotated[
        str,
        typer.Option(help="Engine whose energies it predicts, such as vasp: they may then be compared with labels."),
    ] = "",
    mp2020: Annotated[
        bool, typer.Option("--mp2020", help="Add MP2020's corrections to raw energies of the Materials Project.")
    ] = False,
    sha256: Sha256 = None,
    trust: Trust = False,
    kind: Annotated[str, typer.Option(help="mace, or a class of torch_sim.models such as orb.OrbModel.")] = "mace",
    option: Options = None,
    max_atomic_number: Annotated[int, typer.Option(min=1, max=118, help="Heaviest element (not for mace).")] = 94,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    as_json: AsJson = False,
) -> None:
    """Put a potential on the allow-list: its weights, their SHA-256, and the scale of its energies.

    Example: genmat models add my-mace my.model --trust --functional PBE --hubbard MP --pseudopotentials PBE
    --correction none
    """
    from genmat.energy import EnergyScale
    from genmat.models.potentials.registry import corrected
    from genmat.models.potentials.weights import read_file

    session_of(context)
    data = b"" if file is None else read_file(file)
    scale = EnergyScale("", functional, hubbard, pseudopotentials, correction)
    options = _options(option or [])
    if kind == "mace":
        if file is None:
            msg = "a MACE potential needs its weights file: genmat models add NAME FILE"
            raise InputError(msg)
        potential = _mace(name, data, str(file), scale, options, sha256=sha256, trust=trust, licence=licence)
    else:
        if file is not None:
            from genmat.models.potentials.io import check_expected

            check_expected(data, what=str(file), sha256=sha256, trust=trust)
        potential = _torchsim(name, data, kind, scale, options, max_atomic_number, licence=licence)
    _allow(replace(corrected(potential) if mp2020 else potential, labels=labels), data, as_json=as_json)


def fetch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Published checkpoint, such as mace-mpa-0.", metavar="NAME")],
    *,
    sha256: Sha256 = None,
    trust: Trust = False,
    raw: Annotated[bool, typer.Option("--raw", help="Leave its energies as they are, without MP2020.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a published checkpoint and put it on the allow-list; needs the internet.

    Example: genmat models fetch mace-mpa-0 --sha256 HASH
    """
    from genmat.energy import EnergyScale
    from genmat.models.potentials.io import PUBLISHED, check_new_name, download
    from genmat.models.potentials.registry import corrected

    session_of(context)
    if name not in PUBLISHED:
        hint = did_you_mean(name, PUBLISHED)
        msg = f"no published checkpoint {name!r}, known are {', '.join(PUBLISHED)}.{hint}"
        raise InputError(msg)
    published = PUBLISHED[name]
    if sha256 is None and not trust:
        msg = (
            f"{published.url} is a pickle, loading it runs a program, and its authors publish no SHA-256 that genmat "
            f"could carry: give the one you know as --sha256, or --trust"
        )
        raise PotentialError(msg)
    check_new_name(name, sha256=sha256 or "")
    data = download(published.url)
    scale = EnergyScale("", published.functional, published.hubbard, published.pseudopotentials, published.correction)
    potential = _mace(name, data, published.url, scale, {}, sha256=sha256, trust=trust, licence=published.licence)
    _allow(replace(potential if raw else corrected(potential), labels="vasp"), data, as_json=as_json)


def list_potentials(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the potentials that campaigns can name: scale, elements, SHA-256.

    Example: genmat models potentials
    """
    from genmat.models.potentials.registry import all_potentials

    session_of(context)
    found = [_described(potential) for potential in all_potentials().values()]
    if as_json:
        print_json(found)
        return
    rows = [[str(entry[key]) for key in ("name", "scale", "n_elements", "sha256", "licence")] for entry in found]
    print_table(
        ["potential", "energy scale", "elements", "SHA-256", "licence"], [[*r[:3], r[3][:12], r[4]] for r in rows]
    )


def _mace(
    name: str,
    data: bytes,
    what: str,
    scale: EnergyScale,
    options: dict[str, Any],
    *,
    sha256: str | None,
    trust: bool,
    licence: str,
) -> Potential:
    """Return the potential of a MACE file, after everything that can be checked without loading it was."""
    from genmat.models.potentials import Potential
    from genmat.models.potentials.io import check_expected, check_new_name
    from genmat.models.potentials.registry import Family
    from genmat.models.potentials.weights import check_model_archive

    digest = check_expected(data, what=what, sha256=sha256, trust=trust)
    check_model_archive(data, what=what, package="mace")
    check_new_name(name, sha256=digest)
    from genmat.models.potentials.mace import elements_of

    return Potential(
        name=name,
        family=Family.MACE,
        version="mace-torch",
        weights="",
        sha256=digest,
        # Of the weights, not of the name: one file under two names has one scale.
        scale=replace(scale, engine=f"mace-{digest[:12]}"),
        atomic_numbers=elements_of(data, name=name, **options),
        licence=licence,
        options=json.dumps(options, sort_keys=True),
    )


def _torchsim(
    name: str, data: bytes, kind: str, scale: EnergyScale, options: dict[str, Any], heaviest: int, *, licence: str
) -> Potential:
    from genmat.models.potentials.io import check_new_name
    from genmat.models.potentials.registry import parametrised
    from genmat.models.potentials.weights import sha256_of

    supported = frozenset(range(1, heaviest + 1))
    potential = parametrised(name, kind, options, scale=scale, atomic_numbers=supported)
    digest = sha256_of(data) if data else potential.sha256
    check_new_name(name, sha256=digest)
    scale = replace(scale, engine=f"{kind.partition('.')[0]}-{digest[:12]}")
    potential = replace(potential, sha256=digest, scale=scale, licence=licence)
    with TemporaryDirectory() as folder:  # called as it will be: a loader may go by the end of the name
        place = Path(folder) / f"{name}.model"
        place.write_bytes(data)
        replace(potential, weights=str(place) if data else "").load()
    return potential


def _options(given: list[str]) -> dict[str, Any]:
    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not (key and equals):
            msg = f"--option {text!r}: expected KEY=VALUE"
            raise InputError(msg)
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def _allow(potential: Potential, data: bytes, *, as_json: bool) -> None:
    from genmat.models.potentials.io import allow

    allowed = allow(potential, data)
    if as_json:
        print_json(_described(allowed))
        return
    print_line(f"potential {allowed.name} may be loaded: SHA-256 {allowed.sha256}", style="bold")
    print_line(f"energy scale {allowed.scale}, {len(allowed.atomic_numbers)} elements")


def _described(potential: Potential) -> dict[str, Any]:
    return {
        "name": potential.name,
        "family": potential.family.value,
        "version": potential.version,
        "sha256": potential.sha256,
        "scale": str(potential.scale),
        "adds": potential.adds or None,
        "labels": None if potential.label_scale is None else str(potential.label_scale),
        "n_elements": len(potential.atomic_numbers),
        "licence": potential.licence,
        "options": json.loads(potential.options),
    }
