"""The part of ``campaign.yaml`` that says how candidates are sieved."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, Strict

from genmat.campaign.base import CampaignModel, Count, Number, NumberRange


class Gates(CampaignModel):
    """What a proposed structure must fulfil before any energy is computed."""

    min_distance: Number = Field(
        default=0.6,
        gt=0,
        le=1.5,
        description="Smallest allowed distance of two atoms over the sum of their covalent radii (dimensionless).",
    )
    volume_per_atom: NumberRange = Field(
        default=NumberRange(min=3.0, max=120.0), description="Allowed volume per atom, Å^3/atom."
    )
    charge_neutral: bool = Field(
        default=True,
        strict=True,
        description="Whether ionic compounds must be charge-neutral in common oxidation states (alloys are exempt).",
    )
    covered_hull: bool = Field(
        default=True,
        strict=True,
        description="Whether a compound falls where the hull consists of elements alone: the reference knows nothing "
        "that competes with it, and its distance to the hull would be its formation energy.",
    )


class StaticGates(CampaignModel):
    """Tests of a proposed structure by one evaluation of the potential; null leaves a test out."""

    energy_above_hull: Number | None = Field(
        default=0.5, gt=0, description="Largest energy above the hull as proposed, eV/atom; null: no limit."
    )
    fmax: Number | None = Field(default=None, gt=0, description="Largest force as proposed, eV/Å; null: no limit.")
    volume_ratio: Number | None = Field(
        default=None,
        gt=1,
        description="Largest factor between the volume and that of the composition in known crystals; null: no limit.",
    )
    audit: Number = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the candidates that are relaxed whatever these tests say; measures what they lose.",
    )


class Committee(CampaignModel):
    """Opinions of further potentials on the relaxed geometry; all on the energy scale of the campaign's potential."""

    potentials: tuple[str, ...] = Field(
        default=("chgnet-0.2.0",), min_length=1, description="Potentials that are asked besides the campaign's own."
    )
    max_spread: Number | None = Field(
        default=None,
        gt=0,
        description="Largest spread of the distances to the hull, eV/atom; more, and a candidate falls. null: none.",
    )


class EquationOfStateGate(CampaignModel):
    """Energies at seven volumes, ions relaxed; a crystal without a minimum among them falls."""

    fmax: Number = Field(default=0.01, gt=0, le=0.1, description="Largest force left at each volume, eV/Å.")


class ElasticGate(CampaignModel):
    """Elastic tensor and moduli; a crystal that a strain stabilises falls."""

    fmax: Number = Field(default=0.01, gt=0, le=0.1, description="Largest force left in a strained cell, eV/Å.")


class PhononGate(CampaignModel):
    """Phonons by finite displacements; a crystal with an imaginary mode falls."""

    min_length: Number = Field(default=8.0, gt=0, le=40, description="Shortest width of the supercell, Å.")
    min_frequency: Number = Field(
        default=-0.3, le=0, description="Lowest frequency that counts as noise, THz; imaginary ones are negative."
    )


class MolecularDynamicsGate(CampaignModel):
    """Short molecular dynamics; a crystal whose atoms leave their sites falls."""

    temperatures: tuple[Annotated[float, Strict(), Field(gt=0, le=5000)], ...] = Field(
        default=(300.0,), min_length=1, description="Temperatures, one run each, K."
    )
    steps: Annotated[Count, Field(ge=20, le=1_000_000)] = Field(default=1000, description="Steps of each run.")
    timestep: Number = Field(default=2.0, gt=0, le=10, description="Time of one step, fs.")
    pressure: Number | None = Field(default=None, description="Pressure that is held, GPa; null: the cell is fixed.")
    min_length: Number = Field(default=8.0, gt=0, le=40, description="Shortest width of the supercell, Å.")


class ThermalExpansionGate(CampaignModel):
    """Thermal expansion in the quasi-harmonic approximation; a crystal with an imaginary mode falls."""

    temperature: Number = Field(default=300.0, gt=0, le=3000, description="Temperature at which it is told, K.")
    min_length: Number = Field(default=8.0, gt=0, le=40, description="Shortest width of the supercells, Å.")


class Further(CampaignModel):
    """Tests of what is on target that need more than an energy, each off unless it is named; {} takes its defaults."""

    committee: Committee | None = Field(default=None, description="What other potentials say about stability.")
    equation_of_state: EquationOfStateGate | None = Field(
        default=None, description="Bulk modulus and its pressure derivative, by Birch and Murnaghan."
    )
    elastic: ElasticGate | None = Field(default=None, description="Elastic tensor, bulk and shear modulus.")
    phonon: PhononGate | None = Field(default=None, description="Dynamical stability.")
    molecular_dynamics: MolecularDynamicsGate | None = Field(
        default=None, description="Whether the structure survives temperatures."
    )
    thermal_expansion: ThermalExpansionGate | None = Field(default=None, description="Volumetric thermal expansion.")

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the tests that are on, in their order."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)


class Relax(CampaignModel):
    """When a relaxation counts as converged, and when it is given up."""

    fmax: Number = Field(default=0.05, gt=0, le=1, description="Largest force component norm at convergence, eV/Å.")
    smax: Number = Field(default=0.5, gt=0, le=100, description="Largest stress component at convergence, GPa.")
    max_steps: Annotated[Count, Field(le=10_000)] = Field(default=300, description="Optimiser steps before giving up.")
    rattle: Number = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="Displacement (standard deviation, Å) of a crystal on its way, to leave a saddle point that its "
        "symmetry holds it on. 0: none.",
    )


def _hull_name(value: object) -> object:
    return "own" if value == "chgnet" else value  # what stored campaigns call it


class Screen(CampaignModel):
    """How proposed structures are sieved, cheapest test first."""

    potential: str = Field(
        default="chgnet-0.3.0", min_length=1, description="Machine-learned potential that relaxes and gives energies."
    )
    hull: Annotated[Literal["own", "dft"], BeforeValidator(_hull_name)] = Field(
        default="own",
        description="Convex hull that stability is judged against: own, the reference's by the same potential, or dft, "
        "that of the labels (setting labels), whose scale the potential predicts.",
    )
    hull_tolerance: Number = Field(
        default=0.08, ge=0, le=1, description="τ: largest energy above the hull that counts as stable, eV/atom."
    )
    gates: Gates = Field(default=Gates(), description="Tests before any energy is computed.")
    static: StaticGates | None = Field(
        default=None,
        description="Tests by one evaluation, before a candidate is relaxed; null: every selected one is relaxed.",
    )
    matching: Literal["ordered", "disordered"] = Field(
        default="ordered",
        description="When crystals are the same: ordered (every element on its own sites) or disordered (elements "
        "alike in size and electronegativity count as one, so that orderings of a solid solution are repeats).",
    )
    max_relaxed: Count | None = Field(
        default=None,
        description="Relaxations in each round, best-scored candidates first; null for all that got so far.",
    )
    relax: Relax = Field(default=Relax(), description="Convergence of relaxations.")
    max_volume_change: Number | None = Field(
        default=None,
        gt=0,
        description="Largest |V/V0 - 1| of a relaxation (dimensionless); more, and a candidate falls. null: no limit.",
    )
    further: Further = Field(default=Further(), description="Tests that need more than an energy; all off.")
