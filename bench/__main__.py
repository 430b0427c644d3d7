"""`./do bench CASE`: run one case, or all of them, each in its own process; standard output is JSON.

A case is a module `bench/<case>.py` with ``run(*, customers, events_per_customer, repetitions) -> dict``. This runner
adds what a reader needs to judge the figures (load, versions, processor) and measures the process as a whole. Nothing
here says pass or fail: ratios within one run do, and times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
VERSIONS = ("duckdb", "ibis-framework", "numpy", "pandas", "pyarrow", "sqlalchemy")
KIB_PER_MIB = 1024
LATER = {
    "report": "there is no report yet",
}
"""Cases that are promised and cannot exist before what they measure; `all` leaves them out."""


def cases() -> list[str]:
    """Return the names of all cases, in the order they run."""
    return sorted(file.stem for file in HERE.glob("*.py") if not file.stem.startswith("_"))


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    packages = {name: version(name) for name in VERSIONS}
    return {
        "load_average": load,
        "processors": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": packages,
    }


def peak_rss_mib() -> float:
    """Return the largest resident size this process or one it waited for has had."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    unit = KIB_PER_MIB * KIB_PER_MIB if sys.platform == "darwin" else KIB_PER_MIB  # bytes on macOS, KiB elsewhere
    return round(max(own, children) / unit, 1)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those it waited for."""
    return sum(os.times()[:4])  # user and system, own and of children


def measure(
    case: str, *, customers: int | None, events_per_customer: int | None, repetitions: int | None
) -> dict[str, Any]:
    """Run one case here and return its figures; what the case measured itself stands over what was measured around it.

    Parameters
    ----------
    case : the module's name
    customers, events_per_customer, repetitions : the size, and how often the case repeats what it compares; None
        leaves the case its own
    """
    sizes = {"customers": customers, "events_per_customer": events_per_customer, "repetitions": repetitions}
    given = {name: value for name, value in sizes.items() if value is not None}
    before, begun = cpu_seconds(), time.monotonic()
    found = import_module(f"bench.{case}").run(**given)
    around = {
        "case": case,
        "cpu_seconds": round(cpu_seconds() - before, 3),
        "wall_seconds": round(time.monotonic() - begun, 3),
        "peak_rss_mib": peak_rss_mib(),
    }
    return {**around, **found, "machine": machine()}


def measure_apart(case: str, arguments: list[str]) -> dict[str, Any]:
    """Run one case in a process of its own, so that neither imports nor memory of another weigh on it."""
    command = [sys.executable, "-m", "bench", case, *arguments, "--here"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=HERE.parent)
    if done.returncode:
        return {"case": case, "error": f"ended with {done.returncode}; its message stands on standard error"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def parser() -> argparse.ArgumentParser:
    """Return what `./do bench` understands."""
    made = argparse.ArgumentParser(prog="./do bench", description="Benchmarks; standard output is JSON.")
    made.add_argument("case", choices=[*cases(), *LATER, "all", "list"], help="which case, `all`, or `list`")
    made.add_argument("--customers", type=int, help="default: the case's own size")
    made.add_argument("--events-per-customer", type=int, help="default: the case's own size")
    made.add_argument("--reps", type=int, help="repetitions within the run; default: the case's own")
    made.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return made


def main(arguments: list[str]) -> int:
    """Run what was asked for and print it."""
    asked = parser().parse_args(arguments)
    if asked.case == "list":
        print(json.dumps(cases()))
        return 0
    if asked.case in LATER:
        sys.stderr.write(f"bench {asked.case}: {LATER[asked.case]}; there are: {', '.join(cases())}\n")
        return 2
    if asked.here:
        sizes = {"customers": asked.customers, "events_per_customer": asked.events_per_customer}
        print(json.dumps(measure(asked.case, **sizes, repetitions=asked.reps)))
        return 0
    rest = [item for item in arguments if item != asked.case]
    found = [measure_apart(case, rest) for case in (cases() if asked.case == "all" else [asked.case])]
    print(json.dumps(found if asked.case == "all" else found[0], indent=2))
    return 1 if any("error" in item for item in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
