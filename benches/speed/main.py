"""See benches/run."""

import argparse, sys, tempfile
from pathlib import Path

import answer, grow, land, measure, stream

PARTS = {"land": land.main, "answer": answer.main, "stream": stream.main, "grow": grow.main}


def main():
    parser = argparse.ArgumentParser(prog="benches/run", description="Bluelake beside what a user would pick instead, on this machine.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="2 million events and three rounds")
    parser.add_argument("--events", type=int, help="events to generate")
    parser.add_argument("--rounds", type=int, help="runs of each, in turns")
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no {unknown[0]}: {', '.join(PARTS)}")
    events = given.events or (2_000_000 if given.quick else 10_000_000)
    rounds = given.rounds or (3 if given.quick else 5)
    if not Path(measure.BLUELAKE).exists():
        sys.exit(f"there is no {measure.BLUELAKE}: build it, or name it with BLUELAKE")
    measure.machine()
    for part in given.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="bluelake-bench-") as folder:
            PARTS[part](Path(folder), events, rounds)


if __name__ == "__main__":
    main()
