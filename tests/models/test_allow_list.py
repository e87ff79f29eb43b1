"""Weights: what is refused before anything of it is loaded, and what comes back from the allow-list."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genmat.cli.entry import run
from genmat.energy import EnergyScale
from genmat.errors import EnergyScaleError, PotentialError
from genmat.models.potentials import get_potential
from genmat.models.potentials.devices import get_device
from genmat.models.potentials.io import allowed_potentials
from genmat.models.potentials.registry import RAW_MP
from genmat.models.potentials.weights import check_model_archive, sha256_of
from genmat.reference.io import load_reference
from workflows.run import check_labelled

from .tiny_mace import ELEMENTS, tiny_mace

LABELLED = EnergyScale("vasp", "PBE", "MP", "PBE", "MP2020")
SCALE = ("--functional", "PBE", "--hubbard", "MP", "--pseudopotentials", "PBE", "--correction", "none")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GENMAT_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "data" / "potentials"


@pytest.fixture
def genmat(folder, capsys):
    def call(*arguments: str) -> tuple[int, str]:
        code = run(["models", *arguments])
        captured = capsys.readouterr()
        return code, " ".join((captured.out + captured.err).split())

    return call


class Evil:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def torch_file(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def test_a_pickle_from_nowhere_is_refused_before_it_runs(tmp_path, genmat, folder):
    marker, file = tmp_path / "marker", tmp_path / "evil.model"
    file.write_bytes(torch_file({"model": Evil(marker)}))
    code, text = genmat("add", "evil", str(file), "--trust", *SCALE)
    assert code == 2
    assert "asks Python for posix.system, which no model needs" in text
    assert not marker.exists()
    assert not folder.exists()


def test_a_bare_pickle_is_no_archive(tmp_path, genmat):
    marker, file = tmp_path / "marker", tmp_path / "evil.model"
    file.write_bytes(pickle.dumps(Evil(marker)))
    code, text = genmat("add", "evil", str(file), "--trust", *SCALE)
    assert code == 2
    assert "is no archive of torch, or was cut off" in text
    assert not marker.exists()


def test_a_newer_protocol_that_hides_its_names_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Evil(Path("x")), protocol=4))
    with pytest.raises(PotentialError, match=r"pickle that torch did not write \(STACK_GLOBAL\)"):
        check_model_archive(file.getvalue(), what="x.model", package="mace")


def test_a_truncated_file_is_refused():
    data = torch_file(torch.zeros(1000))
    with pytest.raises(PotentialError, match="was cut off"):
        check_model_archive(data[: len(data) // 2], what="x.model", package="mace")


def test_a_damaged_file_is_refused():
    data = bytearray(torch_file(torch.arange(1000)))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(PotentialError, match="is damaged"):
        check_model_archive(bytes(data), what="x.model", package="mace")


def test_without_a_hash_or_trust_the_user_is_told_that_a_pickle_is_a_program(tmp_path, genmat, folder):
    file = tmp_path / "some.model"
    file.write_bytes(torch_file(torch.zeros(3)))
    code, text = genmat("add", "some", str(file), *SCALE)
    assert code == 2
    assert f"loading it runs whatever program is in it. Its SHA-256 is {sha256_of(file.read_bytes())}" in text
    assert not folder.exists()


def test_another_hash_is_refused_before_loading(tmp_path, genmat):
    file = tmp_path / "some.model"
    file.write_bytes(torch_file(torch.zeros(3)))
    code, text = genmat("add", "some", str(file), "--sha256", "0" * 64, *SCALE)
    assert code == 2
    assert "expected 0000000000" in text


def test_trusted_weights_that_are_no_model_are_refused(tmp_path, genmat):
    file = tmp_path / "some.model"
    file.write_bytes(torch_file(torch.zeros(3)))
    code, text = genmat("add", "some", str(file), "--trust", *SCALE)
    assert code == 2
    assert "holds no model of mace; refused" in text


def test_a_scale_is_never_guessed(tmp_path, genmat):
    code, text = genmat("add", "some", str(tmp_path / "some.model"), "--trust")
    assert code == 2
    assert "functional" in text


def test_an_added_mace_is_private_and_can_be_loaded_by_name(tmp_path, genmat, folder):
    data = tiny_mace()
    file = tmp_path / "tiny.model"
    file.write_bytes(data)
    code, text = genmat("add", "tiny", str(file), "--sha256", sha256_of(data), *SCALE)
    assert code == 0, text
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    potential = get_potential("tiny")
    assert potential.atomic_numbers == frozenset(ELEMENTS)
    assert str(potential.scale) == f"mace-{sha256_of(data)[:12]}/PBE+U:MP/PBE/none"
    assert potential.load().dtype == torch.float64
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ

    Path(potential.weights).write_bytes(data + b"x")
    with pytest.raises(PotentialError, match=r"have SHA-256 .* refused"):
        potential.load()
    file.write_bytes(data + b"x")
    code, text = genmat("add", "tiny", str(file), "--trust", *SCALE)
    assert code == 2
    assert "is taken by weights" in text


def test_a_raw_mace_has_a_hull_of_raw_labels_once_it_says_that_it_predicts_them(tmp_path, genmat, folder):
    file = tmp_path / "tiny.model"
    file.write_bytes(tiny_mace())
    known = load_reference()
    raw = replace(known, metadata=replace(known.metadata, scale=replace(RAW_MP, engine="vasp")))
    code, text = genmat("add", "tiny", str(file), "--trust", *SCALE, "--json")
    assert code == 0, text
    assert json.loads(text)["labels"] is None
    with pytest.raises(EnergyScaleError, match="nobody states which labels tiny predicts"):
        check_labelled(get_potential("tiny"), raw)
    code, text = genmat("add", "tiny", str(file), "--trust", *SCALE, "--labels", "vasp", "--json")
    assert code == 0, text
    assert json.loads(text)["labels"] == "vasp/PBE+U:MP/PBE/none"
    check_labelled(get_potential("tiny"), raw)
    with pytest.raises(EnergyScaleError, match=r"predicts energies on the scale vasp/.*/none, .* names ones on vasp/"):
        check_labelled(get_potential("tiny"), replace(raw, metadata=replace(known.metadata, scale=LABELLED)))


def test_a_model_of_torchsim_is_added_by_its_class(genmat):
    arguments = (
        "--kind",
        "lennard_jones.LennardJonesModel",
        "--option",
        "sigma=2.5",
        "--option",
        "compute_stress=true",
    )
    code, text = genmat("add", "soft", *arguments, *SCALE)
    assert code == 0, text
    assert get_potential("soft").load().sigma == 2.5
    code, text = genmat("potentials", "--json")
    assert "soft" in {entry["name"] for entry in json.loads(text)}


def test_a_model_of_torchsim_with_a_file_is_loaded_once_before_it_is_allowed(tmp_path, genmat, folder):
    data = tiny_mace()
    file = tmp_path / "tiny.ckpt"
    add = ("add", "other", str(file), "--kind", "mace.MaceModel", *SCALE)
    for content in (data[: len(data) // 2], torch_file(torch.zeros(3)), b"no model", b""):
        file.write_bytes(content)
        code, text = genmat(*add, "--trust")
        assert code == 2
        assert "potential other: torch_sim.models.mace.MaceModel cannot be made of" in text
        assert not folder.exists()
    file.write_bytes(data)
    code, text = genmat(*add)
    assert code == 2
    assert "give the one that its authors publish as --sha256" in text
    code, text = genmat(*add, "--trust")
    assert code == 0, text
    assert get_potential("other").load().dtype == torch.float64
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("lennard_jones.Nothing", "torch_sim.models has no lennard_jones.Nothing"),
        ("os.system", "torch_sim.models has no os.system"),
        ("../evil.Model", "is no model of torch-sim"),
        ("morse.MorseModel", "gives no forces and stresses"),
        ("lennard_jones.LennardJonesModel --option depth=1", "cannot be made of"),
    ],
)
def test_a_class_that_torchsim_cannot_make_is_one_line(genmat, kind, expected):
    code, text = genmat("add", "other", "--kind", *kind.split(), *SCALE)
    assert code == 2
    assert expected in text


def test_a_name_of_genmats_own_is_refused(genmat):
    code, text = genmat("add", "chgnet-0.3.0", "--kind", "morse.MorseModel", *SCALE)
    assert code == 2
    assert "comes with genmat: choose another name" in text


def test_a_record_that_others_can_write_is_refused(folder):
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{}")
    (folder / "x.json").chmod(0o666)
    with pytest.raises(PotentialError, match="can be written by others"):
        allowed_potentials(folder)
    (folder / "x.json").chmod(0o600)
    with pytest.raises(PotentialError, match="is no record of a potential"):
        allowed_potentials(folder)


def test_fetching_offline_is_one_line(genmat, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    code, text = genmat("fetch", "mace-mpa-0", "--sha256", "0" * 64)
    assert code == 2
    assert "github.com cannot be reached" in text
    assert "genmat models add NAME FILE" in text


def test_fetching_without_a_hash_is_refused_before_the_download(genmat, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    code, text = genmat("fetch", "mace-mpa-0")
    assert code == 2
    assert "give the one you know as --sha256, or --trust" in text
    code, text = genmat("fetch", "mace-mpa-1")
    assert "Did you mean 'mace-mpa-0'?" in text


def test_a_device_that_does_not_exist_is_one_line():
    with pytest.raises(PotentialError, match=r"unknown device 'cudda'.*Did you mean 'cuda'\?"):
        get_device("cudda")
    with pytest.raises(PotentialError, match=r"device 'cuda:99' is not there"):
        get_device("cuda:99")
    assert get_device("auto").type in {"cpu", "cuda"}
