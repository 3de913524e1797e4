"""The command line of the differential test."""

import argparse
import datetime
import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

from cases import write_cases
from engines import Postgres
from findings import read_allowed
from hunt import Hunt, summary

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")


def arguments():
    parser = argparse.ArgumentParser(prog="tests/differential/run", description="Random statements over random lakes, by Bluelake and by DuckDB.")
    parser.add_argument("--statements", type=int, default=2_000, help="how many (default 2,000)")
    parser.add_argument("--seed", type=int, help="of the run; a fresh one by default")
    parser.add_argument("--a-lake", type=int, default=400, help="statements over each lake (default 400)")
    parser.add_argument("--seconds", type=int, help="stop after so many")
    parser.add_argument("--repeat", metavar="CASE", help="one case that was printed: 'LAKE ZONE DECISIONS', or 'failed LINE'")
    parser.add_argument("--write-cases", type=Path, metavar="FOLDER", help="write a lake and so many statements for the test of the optimizer's rules, and end")
    parser.add_argument("--keep", action="store_true", help="add what is found to failed.ndjson")
    parser.add_argument("--also-allow", type=Path, action="append", default=[], help="a list like allowed.toml of faults that are being mended: statements that may show one are not looked into")
    parser.add_argument("--thorough", action="store_true", help="with --also-allow: look into those too, and leave out what is found only by its smallest statement")
    parser.add_argument("--no-postgres", action="store_true", help="do without the second opinion")
    parser.add_argument("--examples", action="store_true", help="with each kind of refusal its shortest statement")
    parser.add_argument("--zone", help="the only zone of sessions; several by default")
    parser.add_argument("--no-rows", action="store_true", help="shrink statements only, not the rows")
    parser.add_argument("--bluelake", type=Path, default=Path(os.environ.get("BLUELAKE", f"{TARGET}/release/bluelake")), help="the binary")
    given = parser.parse_args()
    if not given.bluelake.is_file():
        parser.error(f"there is no {given.bluelake}: cargo build --release makes it, and --bluelake names another")
    if given.repeat and not re.fullmatch(r"failed [1-9][0-9]*|[0-9]+ [A-Za-z_/+-]+ \[[\[\], 0-9]*\]", given.repeat):
        parser.error(f"{given.repeat!r} is no case: it is 'LAKE ZONE DECISIONS' as it was printed, or 'failed LINE'")
    return given


def keep(finding):
    """Adds a finding to those that are run each time."""
    seed, zone, _ = finding.place.split(" ")
    statement = finding.statement
    case = {
        "found": datetime.date.today().isoformat(), "lake": int(seed), "zone": zone, "kind": finding.kind, "blue": statement.sql.blue,
        "duck": statement.sql.duck, "post": statement.sql.post, "columns": [name for name, _ in statement.columns], "ordered_by": statement.ordered_by,
    }
    with (HERE / "failed.ndjson").open("a") as failed:
        failed.write(json.dumps(case) + "\n")


def second_opinion(wanted):
    """A PostgreSQL, or None with the reason told."""
    if not wanted:
        return None
    if Postgres.found() is None:
        print("PostgreSQL is not installed: DuckDB's word alone decides.", flush=True)
        return None
    try:
        return Postgres("UTC")
    except Exception as error:
        print(f"PostgreSQL cannot be started ({error}): DuckDB's word alone decides.", flush=True)
        return None


def told_to_stop(*_):
    """Ends the run in order; being told twice, as `timeout` does, must not end the ending."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def main():
    # What was started is ended, and what was made is removed, when the run is told to stop.
    signal.signal(signal.SIGTERM, told_to_stop)
    given = arguments()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    if given.write_cases:
        write_cases(given.bluelake.resolve(), given.write_cases, given.statements, seed)
        return 0
    allowed = read_allowed(HERE / "allowed.toml")
    mended = [entry for path in given.also_allow for entry in read_allowed(path)]
    began = time.monotonic()
    postgres = second_opinion(not given.no_postgres)
    hunt = Hunt(given.bluelake.resolve(), allowed, postgres, mended, shrinks_rows=not given.no_rows, report=keep if given.keep else None)
    if given.zone:
        hunt.zones = [given.zone]
    hunt.is_thorough = given.thorough
    hunt.ends = began + given.seconds if given.seconds else None
    try:
        if given.repeat:
            hunt.repeat(given.repeat, HERE / "failed.ndjson")
        else:
            print(f"seed {seed}", flush=True)
            hunt.again(HERE / "failed.ndjson")
            for number in range(-(-given.statements // given.a_lake)):
                if hunt.ends and time.monotonic() > hunt.ends:
                    print(f"Ended after {given.seconds} s, before all statements were run.")
                    break
                left = min(given.a_lake, given.statements - number * given.a_lake)
                hunt.lake(seed * 1_000 + number, left, lambda place, number=number: f"{seed} {number} {place}")
    finally:
        if postgres:
            postgres.close()
        # Also of a run that is told to stop.
        summary(hunt, time.monotonic() - began, given.examples)
    return 1 if hunt.findings.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
