"""What a benchmark ran on, and where its raw numbers are kept."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmat.interop.io import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe_machine() -> str:
    """Return processor, cores, memory and the versions that decide about speed, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("genmat", "torch", "torch-sim-atomistic", "chgnet"))
    processor = models[0] if models else platform.processor()
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; {packages}"


def keep(name: str, numbers: Mapping[str, Any]) -> None:
    """Write the raw numbers of a run, its command and its machine to ``results/<name>.json``, in place of the last."""
    run = {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    content = json.dumps({**run, **numbers}, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(Path(__file__).resolve().parent / "results" / f"{name}.json", content + "\n")


def shared_data() -> Path:
    """Return the folder of real crystals that some benchmarks measure over; end the script where there is none."""
    root = Path(os.environ.get("GENMAT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    folder = root / "data"
    if not (folder / "mp_structures.parquet").is_file():
        print(f"not measured: no mp_structures.parquet in {folder}, set GENMAT_SHARED to its parent")
        raise SystemExit(0)
    return folder
