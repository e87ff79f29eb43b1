"""Flows of atomate2 for properties of a relaxed crystal, and what their documents say; runs in VASP's program alone.

Inputs are atomate2's own, which ask for PBEsol where they say nothing else: all but HSE06 is set to PBE here, with
atomate2's U, so that a value belongs to the geometry that PBE relaxed.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.validation.symmetry import SYMPREC
from genmat.validation.vasp.properties import SUPERCELL_LENGTH
from genmat.validation.vasp.steps import custodian_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pymatgen.core.structure import Structure

    type Documents = Mapping[str, Any]
    """Outputs of the jobs that a flow names as its own, by name; ``""`` for an only one."""

REPEAT = Path(__file__).with_name("repeat.py")
N_ACOUSTIC = 3
GAMMA = 1e-6
"""Fractional coordinates below which a wave vector is Γ."""


def property_flow(job: Mapping[str, Any]) -> Any:
    """Return the flow of a job.

    Parameters
    ----------
    job
        ``property``, its name; ``structure``, a relaxed one; ``is_metal``, whether it has no gap; ``wall_time``, s;
        ``earlier``, folders of earlier attempts.
    """
    from atomate2.vasp.jobs.base import BaseVaspMaker
    from atomate2.vasp.powerups import update_user_incar_settings
    from pymatgen.core.structure import Structure

    structure = standard_cell(Structure.from_dict(job["structure"]))
    flow = _FLOWS[job["property"]](structure, is_metal=bool(job["is_metal"]))
    flow = update_user_incar_settings(flow, {"GGA": "PE"})
    settings = custodian_settings(job["wall_time"]) | _commands(job["earlier"])
    changes = {f"run_vasp_kwargs->{name}": value for name, value in settings.items()}
    flow.update_maker_kwargs({"_set": changes}, class_filter=BaseVaspMaker, dict_mod=True)
    return flow


def standard_cell(structure: Structure) -> Structure:
    """Return the primitive cell of a crystal in its standard setting, or the crystal where no symmetry is found.

    Lines of symmetry are told for that cell alone, and of strained cells in it more are equal: 6 instead of 20 for
    silicon as VASP relaxed it.
    """
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    try:
        found: Structure = SpacegroupAnalyzer(structure, symprec=SYMPREC).get_primitive_standard_structure()
    except SymmetryUndeterminedError:
        return structure
    return found


def _commands(earlier: Sequence[str]) -> dict[str, str]:
    """Return VASP's commands, behind a look into the folders of earlier attempts where there are such."""
    from atomate2 import SETTINGS

    before = [sys.executable, "-I", str(REPEAT), *earlier, "--"] if earlier else []
    commands = {"vasp_cmd": SETTINGS.VASP_CMD, "vasp_gamma_cmd": SETTINGS.VASP_GAMMA_CMD}
    return {name: f"{shlex.join(before)} {command}".strip() for name, command in commands.items()}


def _band_gap(structure: Structure, *, is_metal: bool) -> Any:  # noqa: ARG001 - one signature for all
    """Return a static calculation, then bands on a uniform mesh and along the lines of symmetry at its density."""
    from atomate2.vasp.flows.core import BandStructureMaker

    return BandStructureMaker().make(structure)


def _band_gap_hse(structure: Structure, *, is_metal: bool) -> Any:  # noqa: ARG001
    """Return PBE bands along the lines of symmetry, then HSE06 on a mesh and at the k-points of PBE's band edges."""
    from atomate2.vasp.flows.core import LineModeBandStructureMaker
    from atomate2.vasp.jobs.core import HSEBSMaker
    from atomate2.vasp.sets.core import HSEBSSetGenerator
    from jobflow.core.flow import Flow

    lines = LineModeBandStructureMaker().make(structure)
    # A fixed density, as the bands have it, would be no HSE06.
    maker: Any = HSEBSMaker(input_set_generator=HSEBSSetGenerator(mode="gap", inherit_incar=False))
    hybrid = maker.make(lines.output.structure, prev_dir=lines.output.dir_name, mode="gap")
    return Flow([lines, hybrid], output=hybrid.output, name="hse gap")


def _dielectric(structure: Structure, *, is_metal: bool) -> Any:  # noqa: ARG001
    """Return a tight relaxation, then density-functional perturbation theory."""
    from atomate2.vasp.flows.core import DoubleRelaxMaker
    from atomate2.vasp.jobs.core import DielectricMaker, TightRelaxMaker
    from jobflow.core.flow import Flow

    relaxed = DoubleRelaxMaker.from_relax_maker(TightRelaxMaker()).make(structure)
    maker: Any = DielectricMaker()
    response = maker.make(relaxed.output.structure, prev_dir=relaxed.output.dir_name)
    return Flow([relaxed, response], output=response.output, name="dielectric")


def _elastic(structure: Structure, *, is_metal: bool) -> Any:  # noqa: ARG001
    """Return a tight relaxation, then stresses of strained cells whose ions relax."""
    from atomate2.vasp.flows.elastic import ElasticMaker

    return ElasticMaker(max_failed_deformations=0).make(structure)


def _phonon(structure: Structure, *, is_metal: bool) -> Any:
    """Return a tight relaxation, forces of displaced supercells; of an insulator also Born charges."""
    from atomate2.vasp.flows.phonons import PhononMaker
    from atomate2.vasp.jobs.core import DielectricMaker

    # The lines of Setyawan and Curtarolo: those of the default need a package more.
    return PhononMaker(
        min_length=SUPERCELL_LENGTH,
        use_symmetrized_structure="primitive",
        kpath_scheme="setyawan_curtarolo",
        static_energy_maker=None,
        born_maker=None if is_metal else DielectricMaker(),
        create_thermal_displacements=False,
    ).make(structure)


def read_gap(documents: Documents) -> dict[str, float]:
    """Return the gap between the highest filled and the lowest empty state of all meshes and lines, eV; 0 of a metal.

    The documents are of calculations at one density, so that their energies have one zero.
    """
    outputs = [document.calcs_reversed[0].output for document in documents.values()]
    if any(not output.bandgap for output in outputs):
        return {"band_gap": 0.0}
    gap = min(output.cbm for output in outputs) - max(output.vbm for output in outputs)
    return {"band_gap": max(0.0, float(gap))}


def read_dielectric(documents: Documents) -> dict[str, float]:
    """Return the means of the diagonals of the dielectric tensors of electrons and ions, and their sum."""
    (document,) = documents.values()
    output = document.calcs_reversed[0].output
    if output.epsilon_static is None or output.epsilon_ionic is None:
        msg = "VASP left no dielectric tensor"
        raise ValueError(msg)
    parts = {"e_electronic": output.epsilon_static, "e_ionic": output.epsilon_ionic}
    means = {name: float(np.trace(np.asarray(tensor)) / 3) for name, tensor in parts.items()}
    return {**means, "e_total": sum(means.values())}


def read_elastic(documents: Documents) -> dict[str, float]:
    """Return moduli and the smallest eigenvalue of the tensor, GPa, and the Debye temperature, K, of a stable one."""
    (document,) = documents.values()
    derived = document.derived_properties
    values = {
        "bulk_modulus_vrh": derived.k_vrh,
        "shear_modulus_vrh": derived.g_vrh,
        "smallest_elastic_eigenvalue": np.linalg.eigvalsh(np.asarray(document.elastic_tensor.ieee_format)).min(),
        "debye_temperature": derived.debye_temperature,
    }
    return {name: float(value) for name, value in values.items() if value is not None and np.isfinite(value)}


def read_phonon(documents: Documents) -> dict[str, float]:
    """Return the lowest and highest frequency along the lines, and the lowest optical or imaginary one at Γ, THz."""
    (document,) = documents.values()
    bands = document.phonon_bandstructure
    frequencies = np.asarray(bands.bands)  # (branches, q-points)
    at_gamma = [place for place, q in enumerate(bands.qpoints) if np.abs(q.frac_coords).max() < GAMMA]
    # Of an insulator the limit depends on the direction: the lowest of all.
    optical = [np.delete(mode, np.argsort(np.abs(mode))[:N_ACOUSTIC]) for mode in frequencies[:, at_gamma].T]
    return {
        "min_phonon_frequency": float(frequencies.min()),
        "max_phonon_frequency": float(frequencies.max()),
        "gamma_min_phonon_frequency": float(min((mode.min() for mode in optical if len(mode)), default=0.0)),
    }


_FLOWS: dict[str, Callable[..., Any]] = {
    "band_gap": _band_gap,
    "band_gap_hse": _band_gap_hse,
    "dielectric": _dielectric,
    "elastic": _elastic,
    "phonon": _phonon,
}
READERS: dict[str, Callable[[Documents], dict[str, float]]] = {
    "band_gap": read_gap,
    "band_gap_hse": read_gap,
    "dielectric": read_dielectric,
    "elastic": read_elastic,
    "phonon": read_phonon,
}
"""What the documents of a flow say."""


def compute(job: Mapping[str, Any], folder: Path) -> int:
    """Run the flow of a job below a folder and write its values there; return the exit code."""
    documents, folders = run_flow(property_flow(job), folder)
    values = READERS[job["property"]](documents)
    for name, content in (("folders.json", folders), ("values.json", values)):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return 0


def run_flow(flow: Any, folder: Path) -> tuple[Documents, list[str]]:
    """Run a flow and return the documents that are its output, with the folders of its jobs in order.

    Raises
    ------
    RuntimeError
        If a job fails, or one of its documents says that it did not converge.
    """
    from jobflow.core.store import JobStore
    from jobflow.managers.local import run_locally
    from maggma.stores.mongolike import MemoryStore

    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    responses = run_locally(flow, store=store, root_dir=folder, create_folders=True, raise_immediately=True)
    answers = [answer for by_index in responses.values() for answer in by_index.values()]
    # Whatever the site has atomate2 do with runs that did not converge.
    if failed := [str(a.job_dir) for a in answers if getattr(a.output, "state", "successful") != "successful"]:
        msg = f"not converged: {', '.join(failed)}"
        raise RuntimeError(msg)
    named = flow.output if isinstance(flow.output, dict) else {"": flow.output}
    # What names a part of a document, such as its band structure, is in the document too.
    whole = {name: reference for name, reference in named.items() if not reference.attributes}
    documents = {name: list(responses[reference.uuid].values())[-1].output for name, reference in whole.items()}
    return documents, [str(answer.job_dir) for answer in answers]
