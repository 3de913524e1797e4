#!/usr/bin/env python3
"""How fast the tables of a lake get into PostgreSQL, beside `psql` with COPY from a CSV file of the same rows.

    cargo build --release && LAKE=./lake ADDRESS=postgres://owner@127.0.0.1:5432/points benches/delivery.py

LAKE is a lake with transactions or user events, ADDRESS a database with the encoding UTF8 in which two schemas are made and dropped again
(`bluelake_bench` and `bluelake_bench_csv`); PGPASSWORD is its password. BLUELAKE names the binary (default target/release/bluelake,
below CARGO_TARGET_DIR if that is set), RUNS the runs of each (default 3), which take turns. `psql` must be installed.

Bluelake loads the table with its indexes and, for user events, works the users out; `psql` copies into a table with the same columns and
indexes. Prints Markdown: medians of rows per second, and the ratio.
"""

import json, os, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

TARGET = os.environ.get("CARGO_TARGET_DIR", Path(__file__).resolve().parent.parent / "target")
BLUELAKE = os.environ.get("BLUELAKE", f"{TARGET}/release/bluelake")
RUNS = int(os.environ.get("RUNS", "3"))
SCHEMA, CSV = "bluelake_bench", "bluelake_bench_csv"


def run(arguments, **more):
    done = subprocess.run(arguments, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def psql(address, *statements):
    return run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", address, *(part for text in statements for part in ("-c", text))])


def configure(folder, lake, address, table):
    (folder / "bluelake.toml").write_text(
        f'lake = "{lake}"\n[[target]]\nname = "bench"\nkind = "postgres"\naddress = "{address}"\nschema = "{SCHEMA}"\ntables = ["{table}"]\n')


def delivered(folder):
    began = time.monotonic()
    summary = json.loads(run([BLUELAKE, "deliver", "bench", "--once", "--json"], cwd=folder))
    return summary["tables"][0]["rows"], time.monotonic() - began


def copied(address, table, file):
    indexes = psql(address, f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{SCHEMA}' AND tablename = '{table}'").splitlines()
    psql(address, f"CREATE TABLE {CSV}.{table} (LIKE {SCHEMA}.{table})")
    for index in indexes:
        psql(address, f"CREATE INDEX ON {CSV}.{table} USING {index.split(' USING ', 1)[1]}")
    began = time.monotonic()
    psql(address, f"\\copy {CSV}.{table} FROM '{file}' CSV")
    seconds = time.monotonic() - began
    psql(address, f"DROP TABLE {CSV}.{table}")
    return seconds


def main():
    lake, address = os.environ.get("LAKE"), os.environ.get("ADDRESS")
    if not lake or not address:
        sys.exit(__doc__)
    folder = Path(tempfile.mkdtemp(prefix="bluelake-delivery-"))
    drop = [f"DROP SCHEMA IF EXISTS {schema} CASCADE" for schema in (SCHEMA, CSV)]
    try:
        psql(address, *drop, f"CREATE SCHEMA {CSV}")
        print(f"{os.cpu_count()} cores, the server on the same machine\n")
        print("| table | rows | MB of CSV | deliver, rows/s | psql, rows/s | ratio |\n| --- | --- | --- | --- | --- | --- |")
        for table in ["transactions", "user_events"]:
            configure(folder, Path(lake).resolve(), address, table)
            file, ours, theirs, rows = folder / "rows.csv", [], [], 0
            for turn in range(RUNS):
                psql(address, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
                rows, seconds = delivered(folder)
                if rows == 0:
                    break
                ours.append(rows / seconds)
                if turn == 0:
                    psql(address, f"\\copy {SCHEMA}.{table} TO '{file}' CSV")
                theirs.append(rows / copied(address, table, file))
            if rows == 0:
                print(f"| `{table}` | 0 | – | – | – | – |", flush=True)
                continue
            one, other = statistics.median(ours), statistics.median(theirs)
            print(f"| `{table}` | {rows:,} | {file.stat().st_size / 1e6:.0f} | {one:,.0f} | {other:,.0f} | {one / other:.2f} |", flush=True)
    finally:
        psql(address, *drop)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
