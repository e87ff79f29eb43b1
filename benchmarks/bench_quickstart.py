"""Run the quickstart campaign from an empty database and sample the memory of its process tree; time the read verbs.

    python benchmarks/bench_quickstart.py [--campaign examples/quickstart.yaml]

Memory is the sum of the proportional set sizes (pages that processes share are counted once) of the command, its
workers and the private mongod, sampled twice a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from machine import describe_machine

QUICKSTART = Path(__file__).resolve().parent.parent / "examples" / "quickstart.yaml"
SAMPLE_SECONDS = 0.5


def main() -> None:
    """Print wall time, peak memory and the last lines of the run, then the start-up times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", type=Path, default=QUICKSTART)
    options = parser.parse_args()
    print(describe_machine())
    genmat = str(Path(sys.executable).parent / "genmat")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": f"{folder}/config"}
        command = [genmat, "run", str(options.campaign), "--output", f"{folder}/output"]
        start = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            peak = _watch(process, folder)
            output = process.stdout.read() if process.stdout else ""
        seconds = time.perf_counter() - start
        print("\n".join(output.splitlines()[-24:]))
        print(f"quickstart: {seconds:.0f} s, peak memory {peak / 2**30:.2f} GiB, exit code {process.returncode}")
        start = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        print(f"the same again: {time.perf_counter() - start:.1f} s")
        for verb in (["--help"], ["status"], ["list", "quickstart"], ["top", "quickstart"]):
            times = []
            for _ in range(5):
                start = time.perf_counter()
                subprocess.run([genmat, *verb], env=environment, stdout=subprocess.DEVNULL, check=True)
                times.append(time.perf_counter() - start)
            print(f"genmat {' '.join(verb)}: {sorted(times)[2]:.2f} s (median of 5)")


def _watch(process: subprocess.Popen[str], folder: str) -> int:
    """Return the largest memory (bytes) of the process, its children and the mongod in ``folder`` until it ends."""
    peak = 0
    while process.poll() is None:
        try:
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        known = {member.pid for member in tree}
        others = psutil.process_iter(["name", "cmdline"])
        tree += [p for p in others if p.pid not in known and folder in " ".join(p.info["cmdline"] or [])]
        peak = max(peak, sum(map(_memory, tree)))
        time.sleep(SAMPLE_SECONDS)
    return peak


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied, AttributeError):
        return 0


if __name__ == "__main__":
    main()
