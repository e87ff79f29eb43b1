"""The process that parses CIF text: a line of JSON in, a line of JSON out, until the input ends.

CIF files of unknown origin can keep a parser busy for hours or fill the memory, so that parsing happens in a process
that :class:`genmat.reference.sources.cif.CifReader` stops when its time is over.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from genmat.errors import StructureError
from genmat.reference.sources.structure import check_size, check_structure

MAX_MEMORY = 8 * 1024**3
"""Address space of the process, bytes."""

CELL_EDGES = ("_cell_length_a", "_cell_length_b", "_cell_length_c")


def parse(text: str, *, name: str) -> dict[str, Any]:
    """Return the structure of CIF text as ``{"lattice", "species", "frac_coords"}``.

    Raises
    ------
    StructureError
        If there is none, more than one, or one that cannot be used.
    """
    from pymatgen.io.cif import CifFile, CifParser

    if "data_" not in text:
        msg = f"{name} is no CIF file, it has no data block"
        raise StructureError(msg)
    try:
        for block in CifFile.from_str(text).data.values():
            _check_block(block.data, name=name)
        parser = CifParser.from_str(text)
        structures = parser.parse_structures(primitive=False, on_error="raise")
    except StructureError:
        raise
    except Exception as err:
        reason = " ".join(str(err).split())[:160] or type(err).__name__
        msg = f"{name} cannot be read, it is truncated or no valid CIF file ({reason})"
        raise StructureError(msg) from err
    if len(structures) != 1:
        msg = f"{name} holds {len(structures)} structures, expected one: split the file"
        raise StructureError(msg)
    structure = check_structure(structures[0], name=name)
    complaint = parser.check(structure)
    if complaint:
        msg = f"{name} contradicts itself, it may be truncated ({' '.join(complaint.split())[:160]})"
        raise StructureError(msg)
    return {
        "lattice": structure.lattice.matrix.reshape(-1).tolist(),
        "species": [site.specie.symbol for site in structure],
        "frac_coords": structure.frac_coords.reshape(-1).tolist(),
    }


def _check_block(data: dict[str, Any], *, name: str) -> None:
    """Raise if a data block is not worth the effort of building its structure."""
    from pymatgen.io.cif import str2float

    check_size(max(1, len(data.get("_atom_site_fract_x", []))), name=name)
    edge = next((key for key in CELL_EDGES if str2float(str(data.get(key, 1.0))) <= 0.0), None)
    if edge is not None:
        msg = f"{name} has {edge} {data[edge]}: the cell has no volume"
        raise StructureError(msg)


def main() -> None:
    """Answer requests ``{"name", "text"}`` with ``{"structure"}`` or ``{"error"}``."""
    _limit_memory()
    warnings.simplefilter("ignore")
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = {"structure": parse(request["text"], name=request["name"])}
        except StructureError as err:
            answer = {"error": str(err)}
        except MemoryError:
            answer = {"error": f"{request['name']} needs more memory than is allowed for a structure file"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system: the time limit remains
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = MAX_MEMORY if hard == resource.RLIM_INFINITY else min(MAX_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


if __name__ == "__main__":
    main()
