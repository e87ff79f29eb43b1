"""Faster kernels of MACE: used where they are the same model, left where they are not or do not work."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from genmat.models.potentials.mace import _probe, faster, is_same_model, load_mace

from .conftest import CRYSTALS
from .tiny_mace import ELEMENTS, tiny_mace

weights = cache(tiny_mace)
PROBE = _probe(ELEMENTS[0])


def mace(**changed: float):
    """Return the model, some of its parameters multiplied."""
    model = load_mace(weights(), name="tiny", device=torch.device("cpu"))
    parameters = dict(model.model.named_parameters())
    for name, factor in changed.items():
        parameters[name.replace("__", ".")].data *= factor
    return model


@pytest.fixture(scope="module")
def plain():
    return mace()


def test_a_model_is_the_same_as_itself_whatever_the_crystal(plain):
    for crystal in (PROBE, CRYSTALS["perovskite"]):
        assert is_same_model(plain, mace(), crystal)


def test_a_model_with_one_parameter_changed_by_a_percent_is_another(plain):
    name = "products__0__linear__weight"
    assert not is_same_model(plain, mace(**{name: 1.01}), PROBE)
    assert not is_same_model(plain, mace(**{name: float("nan")}), PROBE)


def test_a_faster_model_is_used_if_it_is_the_same(plain):
    again = mace()
    assert faster(plain, lambda: again, PROBE, name="tiny") is again


def test_a_faster_model_that_is_another_is_not_used(plain, caplog):
    assert faster(plain, lambda: mace(products__0__linear__weight=1.01), PROBE, name="tiny") is plain
    assert "gives other energies of potential tiny" in caplog.text


def test_a_faster_model_that_cannot_be_made_is_not_used(plain, caplog):
    def broken():
        msg = "no kernel image\nis available"
        raise AttributeError(msg)

    assert faster(plain, broken, PROBE, name="tiny") is plain
    assert "fails for potential tiny, it is not used: no kernel image" in caplog.text


def test_a_faster_model_that_cannot_be_evaluated_is_not_used(plain, caplog):
    unusable = mace()
    unusable.forward = None
    assert faster(plain, lambda: unusable, PROBE, name="tiny") is plain
    assert "fails for potential tiny" in caplog.text
