"""Runs processes in turns and tells their wall time, processor time and memory."""

import dataclasses, os, statistics, subprocess, tempfile
import time as clock
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
BLUELAKE = os.environ.get("BLUELAKE", f"{TARGET}/release/bluelake")
CORES = os.cpu_count()


@dataclasses.dataclass
class Run:
    """One process: seconds of wall time, seconds of processor time (user and system), bytes at its peak, and what it printed."""

    wall: float
    processor: float
    peak: int
    output: str


class Failed(Exception):
    """A process ended with an error."""


def measured(arguments, environment=None):
    began = clock.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([str(part) for part in arguments], stdout=out, stderr=errors, stdin=subprocess.DEVNULL, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = clock.monotonic() - began
        out.seek(0)
        errors.seek(0)
        if status != 0:
            raise Failed(f"{Path(arguments[0]).name} {' '.join(map(str, arguments[1:4]))} ended with {process.returncode}: {' '.join(errors.read().split())[-300:]}")
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out.read())


def bluelake(*arguments, environment=None):
    return measured([BLUELAKE, *arguments], environment)


def in_turns(rounds, contestants):
    """Runs each contestant, a function that returns a `Run`, once a round. One that fails is left out from then on, with its error."""
    runs = {name: [] for name in contestants}
    failures = {}
    for _ in range(rounds):
        for name, run in contestants.items():
            if name in failures:
                continue
            try:
                runs[name].append(run())
            except Failed as error:
                failures[name] = str(error)
    return {name: found for name, found in runs.items() if name not in failures}, failures


def median(runs, what):
    return statistics.median(getattr(run, what) for run in runs)


def geometric(ratios):
    return statistics.geometric_mean(ratios) if ratios else float("nan")


def table(columns, rows):
    """Prints a Markdown table."""
    print("| " + " | ".join(columns) + " |")
    print("| " + " | ".join("---" for _ in columns) + " |")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def mib(count):
    return f"{count / 2**20:,.0f}"


def machine():
    """What the figures were measured on, and with which versions."""
    import importlib.metadata

    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown processor")
    memory = int(next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))) / 2**20
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ["duckdb", "polars", "chdb", "datafusion"])
    program = bluelake("--version").output.strip()
    busy = os.getloadavg()[0]
    print(f"{CORES} cores of {model}, {memory:.0f} GiB; {program}; {versions}; load of the minute before {busy:.1f}\n", flush=True)
