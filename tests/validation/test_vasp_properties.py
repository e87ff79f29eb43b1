"""Property flows of VASP: the inputs of every step, flows that replay real outputs, and what documents say."""

from __future__ import annotations

import gzip
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from jobflow.core.flow import Flow
from jobflow.core.job import job
from jobflow.core.maker import Maker
from monty.json import MSONable

from genmat.campaign.computed import ANSWERS, OFFERED, ComputedProperty
from genmat.campaign.properties import PROPERTY_KINDS
from genmat.errors import InputError
from genmat.validation.engine import Failure, Measurement
from genmat.validation.gpaw import Gpaw
from genmat.validation.registry import get_engine
from genmat.validation.vasp.flows import (
    READERS,
    property_flow,
    read_dielectric,
    read_elastic,
    read_gap,
    read_phonon,
    run_flow,
    standard_cell,
)
from genmat.validation.vasp.outputs import read_run
from genmat.validation.vasp.properties import MAX_SUPERCELL, PROPERTIES
from workflows.further import UNITS

from .conftest import crystal, replaying_site, rocksalt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]
COPPER_GOLD = crystal("Pm-3m", 3.75, ["Au", "Cu"], [[0, 0, 0], [0, 0.5, 0.5]])
EMT = {"@module": "ase.calculators.emt", "@callable": "EMT"}
NICKEL_OXIDE = crystal("Fm-3m", 4.2, ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module", autouse=True)
def atomate2() -> None:
    """Skip without atomate2."""
    pytest.importorskip("atomate2")


def flow_of(name: str, *, is_metal: bool = False) -> Flow:
    structure = NICKEL_OXIDE.as_dict()
    return property_flow(
        {"property": name, "structure": structure, "is_metal": is_metal, "wall_time": 3600.0, "earlier": []}
    )


def makers(flow: Flow) -> dict[str, Any]:
    """Return the maker of each VASP job of a flow by name, of those that the flow will add as well."""
    found = {}
    for item, _ in flow.iterflow():
        nested = [*item.function_args, *item.function_kwargs.values()]
        found |= {maker.name: maker for maker in nested if isinstance(maker, Maker)}
        if hasattr(item.maker, "input_set_generator"):
            found[item.name] = item.maker
    return found


@cache
def inputs_of(name: str, *, is_metal: bool = False) -> dict[str, Any]:
    """Return the inputs of each step for nickel oxide."""
    flow = flow_of(name, is_metal=is_metal)
    return {
        step: maker.input_set_generator.get_input_set(NICKEL_OXIDE, potcar_spec=True)
        for step, maker in makers(flow).items()
    }


def incars(name: str, *keys: str, is_metal: bool = False) -> dict[str, tuple]:
    steps = inputs_of(name, is_metal=is_metal).items()
    return {step: tuple(inputs.incar.get(key) for key in keys) for step, inputs in steps}


def test_engines_offer_what_a_campaign_may_ask_them_for():
    assert {name: tuple(get_engine(name).properties) for name in ("vasp", "vasp-r2scan")} == {
        name: OFFERED[name] for name in ("vasp", "vasp-r2scan")
    }
    assert tuple(Gpaw().properties) == OFFERED["gpaw"] == ()
    assert set(READERS) == set(PROPERTIES) == set(ComputedProperty) == set(ANSWERS)


def test_values_have_the_units_of_the_screenings_and_answer_targets_in_theirs():
    units = {value: unit for entry in PROPERTIES.values() for value, unit in entry.units.items()}
    assert all(UNITS[name] == unit for name, unit in units.items() if name in UNITS)
    for name, answers in ANSWERS.items():
        assert {PROPERTIES[name].units[value] for value in answers.values()} == {
            PROPERTY_KINDS[asked].unit for asked in answers
        }


def test_every_step_of_every_flow_asks_for_pbe_and_stops_before_the_walltime():
    for name in ComputedProperty:
        found = incars(name, "GGA", "ENCUT", "LDAUU")
        assert {gga.upper() for gga, *_ in found.values()} == {"PE"}, name
        assert {cutoff for _, cutoff, _ in found.values()} <= {680, 700}, name
        assert all(u == [6.2, 0] for step, (*_, u) in found.items() if not step.startswith("hse")), name
        for maker in makers(flow_of(name)).values():
            assert type(maker.run_vasp_kwargs["handlers"][-1]).__name__ == "WalltimeHandler", name


def test_bands_are_computed_at_the_density_of_a_static_calculation():
    assert incars("band_gap", "ICHARG", "NSW") == {
        "static": (None, 0),
        "non-scf uniform": (11, 0),
        "non-scf line": (11, 0),
    }


def test_hybrid_is_hse06_without_u_and_self_consistent():
    found = incars("band_gap_hse", "LHFCALC", "HFSCREEN", "LDAU", "ICHARG")
    assert list(found) == ["static", "non-scf line", "hse band structure"]
    assert found["hse band structure"] == (True, 0.2, False, None)


def test_dielectric_tensor_is_that_of_perturbation_theory_after_a_tight_relaxation():
    found = incars("dielectric", "LEPSILON", "IBRION", "ISIF", "EDIFFG")
    assert found["dielectric"][:2] == (True, 8)
    assert [found[f"tight relax {n}"] for n in (1, 2)] == [(None, 2, 3, -0.001)] * 2


def test_strained_cells_relax_ions_alone_and_none_of_them_may_fail():
    assert incars("elastic", "ISIF", "IBRION", "NSW")["elastic relax"] == (2, 2, 99)
    (fit,) = [item for item, _ in flow_of("elastic").iterflow() if item.name == "fit_elastic_tensor"]
    assert fit.function_kwargs["max_failed_deformations"] == 0


def test_cell_that_vasp_relaxed_is_put_into_its_standard_setting_which_saves_strains(runs):
    from atomate2.common.jobs.elastic import generate_elastic_deformations

    relaxed = read_run(runs / "nonmetallic").structure
    found = standard_cell(relaxed)
    assert found.volume == pytest.approx(relaxed.volume)
    raw, standard = (len(generate_elastic_deformations.original(cell, symprec=0.01)) for cell in (relaxed, found))
    assert (raw, standard) == (20, 6)


@pytest.mark.parametrize("is_metal", [False, True])
def test_phonons_of_an_insulator_alone_need_born_charges(is_metal):
    found = incars("phonon", "NSW", "LEPSILON", is_metal=is_metal)
    assert found["phonon static"] == (0, None)
    assert ("dielectric" in found) is not is_metal


def test_metal_has_no_dielectric_constant_and_a_huge_supercell_is_refused():
    salt, phonon = rocksalt(), PROPERTIES[ComputedProperty.PHONON]
    assert PROPERTIES[ComputedProperty.DIELECTRIC].refusal(salt, is_metal=True) == "the crystal is a metal"
    assert phonon.refusal(salt, is_metal=False) is None
    needle = salt * (1, 1, 16)
    assert f"at most {MAX_SUPERCELL}" in str(phonon.refusal(needle, is_metal=False))


def test_costs_are_listed_from_the_cheapest_and_grow_with_the_cell():
    salt, phonon = rocksalt(), PROPERTIES[ComputedProperty.PHONON]
    costs = [PROPERTIES[name].estimate(salt) for name in ComputedProperty if name != "phonon"]
    assert costs == sorted(costs)
    assert phonon.estimate(salt * (2, 1, 1)) > phonon.estimate(salt)


@pytest.fixture(scope="module")
def attempts(runs, tmp_path_factory) -> Iterator[Callable[[int], Measurement]]:
    """Return a function that computes the hybrid gap of silicon once more, each VASP a replay of a real run."""
    folder = tmp_path_factory.mktemp("hybrid")
    environment = replaying_site(folder, runs / "nonmetallic")
    structure = read_run(runs / "nonmetallic").structure

    def compute(number: int) -> Measurement:
        flow = PROPERTIES[ComputedProperty.BAND_GAP_HSE]
        return flow.run(structure, is_metal=False, folder=folder / f"attempt-{number}", max_seconds=600)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        compute.folder = folder  # type: ignore[attr-defined]
        yield compute


@pytest.fixture(scope="module")
def first(attempts) -> tuple[Measurement, list[Path]]:
    """Return the first attempt and the folders of its runs."""
    measured = attempts(1)
    return measured, list(map(Path, (attempts.folder / "calls").read_text().split()))


def test_hybrid_is_told_the_kpoints_of_the_band_edges_that_pbe_found(first):
    measured, folders = first
    assert measured.failure is None, measured.detail
    assert measured.values == {"band_gap": pytest.approx(0.617, abs=0.001)}  # that of the replayed silicon
    assert measured.cores == 4
    lines = gzip.decompress(Path(folders[-1], "KPOINTS.gz").read_bytes()).decode().splitlines()
    added = [line.split() for line in lines if line.endswith("user-defined")]
    assert [point[:4] for point in added] == [["0.0", "0.0", "0.0", "0"], ["0.4", "0.4", "0.0", "0"]]


def test_flow_that_was_cut_repeats_no_finished_run(attempts, first):
    measured, folders = first
    # The second run was being compressed when the worker was killed, and the third had not begun.
    cut = Path(folders[1], "vasprun.xml.gz")
    cut.write_bytes(cut.read_bytes()[:5000])
    shutil.rmtree(folders[2])
    again = attempts(2)
    assert again.values == measured.values
    calls = [Path(line) for line in (attempts.folder / "calls").read_text().split()[len(folders) :]]
    made = sorted(path for path in calls[0].parent.glob("job_*") if path.is_dir())
    assert (len(made), calls) == (3, made[1:])


def test_gap_is_that_of_mesh_and_lines_together_and_zero_where_either_is_metallic():
    def bands(gap: float | None, vbm: float | None, cbm: float | None) -> Any:
        output = SimpleNamespace(bandgap=gap, vbm=vbm, cbm=cbm)
        return SimpleNamespace(calcs_reversed=[SimpleNamespace(output=output)])

    assert read_gap({"uniform": bands(1.5, 2.0, 3.5), "line": bands(1.2, 2.1, 3.3)})["band_gap"] == pytest.approx(1.2)
    assert read_gap({"uniform": bands(1.2, 2.0, 3.2), "line": bands(1.2, 2.1, 3.3)})["band_gap"] == pytest.approx(1.1)
    assert read_gap({"uniform": bands(0.1, 2.0, 2.1), "line": bands(0.0, None, None)}) == {"band_gap": 0.0}


def test_dielectric_constant_is_the_mean_of_what_perturbation_theory_of_vasp_left():
    import ase.test.testdata
    from emmet.core.tasks import TaskDoc
    from emmet.core.vasp.calculation import Calculation, CalculationOutput
    from pymatgen.io.vasp.outputs import Vasprun

    (place,) = ase.test.testdata.__path__
    run = Vasprun(f"{place}/vasp/vasprun_dfpt.xml", parse_potcar_file=False)
    electronic = run.epsilon_static
    output = CalculationOutput(epsilon_static=electronic, epsilon_ionic=2 * electronic)
    document = TaskDoc.model_construct(calcs_reversed=[Calculation(output=output)])
    found = read_dielectric({"": document})
    assert found["e_electronic"] == pytest.approx(2.6958, abs=1e-4)  # NaCl
    assert found["e_total"] == pytest.approx(3 * found["e_electronic"])


def test_documents_of_real_elastic_and_phonon_flows_are_read(tmp_path):
    from atomate2.forcefields.flows.elastic import ElasticMaker
    from atomate2.forcefields.flows.phonons import PhononMaker

    (elastic, phonon) = (tmp_path / name for name in ("elastic", "phonon"))
    for folder in (elastic, phonon):
        folder.mkdir()
    documents, _ = run_flow(ElasticMaker.from_force_field_name(EMT).make(COPPER_GOLD), elastic)
    moduli = read_elastic(documents)
    assert moduli.keys() == PROPERTIES[ComputedProperty.ELASTIC].units.keys()
    (document,) = documents.values()
    c11, c12, c44 = np.asarray(document.elastic_tensor.ieee_format)[[0, 0, 3], [0, 1, 3]]
    # Of a cubic crystal: Born's conditions, and the bulk modulus.
    assert moduli["smallest_elastic_eigenvalue"] == pytest.approx(min(c11 - c12, c44), rel=1e-4)
    assert moduli["bulk_modulus_vrh"] == pytest.approx((c11 + 2 * c12) / 3, rel=1e-4)
    assert 200 < moduli["debye_temperature"] < 400

    maker = PhononMaker.from_force_field_name(
        EMT,
        min_length=6,
        born_maker=None,
        use_symmetrized_structure="primitive",
        kpath_scheme="setyawan_curtarolo",
        create_thermal_displacements=False,
        generate_frequencies_eigenvectors_kwargs={"npoints_band": 5, "kpoint_density_dos": 100},
    )
    frequencies = read_phonon(run_flow(maker.make(COPPER_GOLD), phonon)[0])
    assert frequencies.keys() == PROPERTIES[ComputedProperty.PHONON].units.keys()
    assert frequencies["min_phonon_frequency"] == pytest.approx(0.0, abs=0.05)  # acoustic, at Γ
    assert 3 < frequencies["gamma_min_phonon_frequency"] < frequencies["max_phonon_frequency"] < 8


class Unconverged(MSONable):
    """What a document of a run says that did not converge."""

    state = "failed"


@job
def unconverged_job() -> Any:
    return Unconverged()


def test_run_that_did_not_converge_gives_no_value_whatever_the_site_tells_atomate2(tmp_path):
    item = unconverged_job()
    with pytest.raises(RuntimeError, match="not converged"):
        run_flow(Flow([item], output=item.output), tmp_path)


@pytest.mark.parametrize("values", [{}, {"band_gap": float("nan")}])
def test_measurement_without_finite_numbers_is_no_success(values):
    with pytest.raises(InputError, match="needs finite values"):
        Measurement(None, values=values)
    assert Measurement(Failure.CRASHED, "why").failure is Failure.CRASHED
