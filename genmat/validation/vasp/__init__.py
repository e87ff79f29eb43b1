"""VASP through atomate2 and custodian: inputs as the Materials Project's, outputs read with every way to fail."""

from genmat.validation.vasp.engine import Vasp

__all__ = ["Vasp"]
