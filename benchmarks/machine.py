"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe_machine() -> str:
    """Return processor, cores, memory and the versions that decide about speed, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("genmat", "torch", "torch-sim-atomistic", "chgnet"))
    processor = models[0] if models else platform.processor()
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; {packages}"


def shared_data() -> Path:
    """Return the folder of real crystals that some benchmarks measure over; end the script where there is none."""
    root = Path(os.environ.get("GENMAT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    folder = root / "data"
    if not (folder / "mp_structures.parquet").is_file():
        print(f"not measured: no mp_structures.parquet in {folder}, set GENMAT_SHARED to its parent")
        raise SystemExit(0)
    return folder
