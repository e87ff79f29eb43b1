"""Machine-learned potentials behind torch-sim's model interface. Importing this loads no torch."""

from genmat.models.potentials.registry import Potential, get_potential, known_potentials

__all__ = ["Potential", "get_potential", "known_potentials"]
