"""Potentials by name, and what is refused before it is loaded."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from genmat.errors import PotentialError
from genmat.models.potentials import get_potential, known_potentials


def test_unknown_potential_names_the_nearest_one():
    with pytest.raises(PotentialError, match=r"unknown potential 'chgnet-0.3'.*Did you mean 'chgnet-0.3.0'\?"):
        get_potential("chgnet-0.3")


@pytest.mark.parametrize("name", sorted(known_potentials()))
def test_weights_of_every_potential_are_those_of_the_wheel(name):
    get_potential(name).check_weights()


def test_altered_weights_are_refused_before_loading():
    altered = replace(get_potential("chgnet-0.3.0"), sha256="0" * 64)
    with pytest.raises(PotentialError, match=r"have SHA-256 d14ab7c0f093…, expected 000000000000…: refused"):
        altered.load()


def test_missing_weights_are_one_clear_line():
    missing = replace(get_potential("chgnet-0.3.0"), weights="pretrained/none.pth.tar")
    with pytest.raises(PotentialError, match="are missing from the package chgnet: reinstall it"):
        missing.check_weights()


def test_potentials_of_two_versions_have_two_energy_scales():
    assert get_potential("chgnet-0.3.0").scale != get_potential("chgnet-0.2.0").scale


def test_naming_a_potential_loads_no_torch():
    code = (
        "import sys; from genmat.models.potentials import get_potential; get_potential('chgnet-0.3.0').check_weights();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
