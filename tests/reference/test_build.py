"""What a build of a reference keeps of crystals that the potential cannot evaluate."""

from __future__ import annotations

import numpy as np

from genmat.models.pool import PotentialPool
from genmat.reference.build import compute_static
from genmat.reference.journal import Journal
from genmat.reference.sources import SourceCrystal

APART, TOGETHER = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), np.array([[0.0, 0, 0], [1e-30, 0, 0]])


def test_a_crystal_without_energy_is_left_out_of_the_hull(tmp_path, caplog):
    crystals = [
        SourceCrystal(name, ("Ar", "Ar"), 6.0 * np.eye(3), sites)
        for name, sites in (("good", APART), ("bad", TOGETHER))
    ]
    journal = Journal(tmp_path / "static.jsonl")
    pool = PotentialPool("lennard-jones", workers=1, device="cpu")
    try:
        compute_static(crystals, journal, pool=pool, progress=lambda *_: None)
    finally:
        pool.close()
    assert list(journal.read()) == ["good"]
    assert "bad is left out of the hull" in caplog.text
