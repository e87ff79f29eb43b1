"""Real calculations, each done once for all tests."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

LIMIT = 1500.0
"""Seconds for one structure; a calculation takes about one minute on a free core."""
POTCAR = """  PAW_PBE Si 05Jan2001
   4.00000000000000
 parameters from PSCTR are:
   VRHFIN =Si: s2p2
   LEXCH  = PE
   TITEL  = PAW_PBE Si 05Jan2001
   ENMAX  =  245.345; ENMIN  =  184.009 eV
   ZVAL   =    4.000    mass and valenz
   END of PSCTR-controll parameters
 no potential
   0.0 0.0
 End of Dataset
"""
"""What pymatgen reads of a POTCAR file: a header and no potential."""


def crystal(group: str, a: float, species: list[str], coords: list[list[float]]) -> Structure:
    made = _of_ten(group, tuple(species), tuple(map(tuple, coords)))
    return Structure(Lattice(made.lattice.matrix * a / 10.0), made.species, made.frac_coords)


@cache
def _of_ten(group: str, species: tuple[str, ...], coords: tuple[tuple[float, ...], ...]) -> Structure:
    """Return a crystal with a cube edge of 10 Å: the operations of a group cost a second."""
    return Structure.from_spacegroup(group, Lattice.cubic(10.0), species, coords).get_primitive_structure()


def rocksalt(a: float = 5.64) -> Structure:
    return crystal("Fm-3m", a, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def silicon(a: float = 5.43) -> Structure:
    return crystal("Fd-3m", a, ["Si"], [[0, 0, 0]])


def replaying_site(folder: Path, run: Path) -> dict[str, str]:
    """Install a ``vasp`` that leaves at once what VASP left of silicon; return the environment of the site."""
    program = folder / "vasp"
    program.write_text(
        f"#!/bin/sh\npwd >> {folder}/calls\nfor file in {run}/*.gz; do name=$(basename $file .gz)\n"
        "case $name in INCAR|POSCAR|KPOINTS|*json|*orig) ;; *) gunzip -c $file > $name;; esac; done\n"
        "grep TOTEN OUTCAR > OSZICAR\ntouch CHGCAR\n"
    )
    program.chmod(0o755)
    for functional in ("PBE", "PBE_54"):
        potcars = folder / "potcars" / f"POT_GGA_PAW_{functional}"
        potcars.mkdir(parents=True)
        (potcars / "POTCAR.Si.gz").write_bytes(gzip.compress(POTCAR.encode()))
    commands = dict.fromkeys(("ATOMATE2_VASP_CMD", "ATOMATE2_VASP_GAMMA_CMD"), str(program))
    return {"PMG_VASP_PSP_DIR": str(folder / "potcars"), "PYTHONWARNINGS": "ignore", **commands}


def runs_in(folder: Path) -> list[str]:
    """Return the ids of the processes whose current folder is one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == folder and "\nState:\tZ" not in (process / "status").read_text():
                found.append(process.name)
        except OSError:
            continue
    return found


@pytest.fixture(scope="session")
def runs(shared_data):
    """Return the folder of real runs of VASP; skip where this machine does not have it."""
    folder = shared_data / "vasp"
    if not folder.is_dir():
        pytest.skip("no real outputs of VASP (set GENMAT_SHARED)")
    return folder


@pytest.fixture(scope="session")
def relaxed_salt(gpaw, tmp_path_factory):
    """Return NaCl from a cell strained by 3 %."""
    return gpaw.run(rocksalt(5.64 * 1.03), folder=tmp_path_factory.mktemp("NaCl"), max_seconds=LIMIT)
