"""Lands JSON events as Parquet files, one folder a kind of event and day, zstd at level 1: Bluelake with all checks, deduplication and
the commit, the others with what reads JSON fastest in them."""

import datetime, gzip, re, shutil, sys

from measure import CORES, ROOT, bluelake, in_turns, measured, median, mib, table

PEERS = {"DuckDB": "duckdb", "Polars": "polars", "chDB": "chdb", "DataFusion": "datafusion"}
# Pieces in which events are cut for the eight objects.
OBJECTS = 8


def as_text(match):
    moment = datetime.datetime.fromtimestamp(int(match[1]) / 1000, datetime.timezone.utc)
    return b'"occurred_at":"%s"' % moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def generate(folder, events):
    """A file with the transactions of so many generated events of both streams, and eight gzip objects of the same lines. All times are texts:
    the contract allows numbers too, but the others would have to be told."""
    raw, file, objects = folder / "raw.ndjson", folder / "transactions.ndjson", folder / "objects"
    bluelake("generate", "--events", events, "--days", "30", "--to", raw, "--stream", "transaction-events")
    number = re.compile(rb'"occurred_at":(\d+)')
    with raw.open("rb") as source, file.open("wb") as out:
        out.writelines(number.sub(as_text, line) for line in source)
    raw.unlink()
    objects.mkdir()
    outs = [gzip.open(objects / f"part-{number}.ndjson.gz", "wb", compresslevel=1) for number in range(OBJECTS)]
    share = file.stat().st_size // OBJECTS + 1
    with file.open("rb") as source:
        for out in outs:
            for line in source.readlines(share):
                out.write(line)
            out.close()
    return file, objects


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts)


def rows(folder):
    import pyarrow.parquet

    return sum(pyarrow.parquet.read_metadata(path).num_rows for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts)


class Landing:
    """One source to be landed, and where."""

    def __init__(self, source, folder):
        self.source, self.folder, self.bytes, self.rows = source, folder, {}, {}

    def out(self):
        """Where the next landing goes; nothing is there."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        return out

    def count(self, name, out):
        self.bytes[name], self.rows[name] = size(out), rows(out)
        shutil.rmtree(out)

    def by_bluelake(self):
        out = self.out()
        bluelake("--lake", out, "lake", "init")
        run = bluelake("--lake", out, "backfill", self.source, "--stream", "transaction-events", "--ahead-of-ingest", "--json")
        self.count("Bluelake", out)
        return run

    def by(self, name):
        def run():
            out = self.out()
            pattern = f"{self.source}/*.ndjson.gz" if self.source.is_dir() else str(self.source)
            run = measured([sys.executable, ROOT / "benches/speed/peers.py", "land", PEERS[name], pattern, out, CORES])
            self.count(name, out)
            return run

        return run


def main(folder, events, rounds):
    print(f"## Land {events:,} generated events\n", flush=True)
    file, objects = generate(folder, events)
    megabytes = file.stat().st_size / 1e6
    for what, source in [("one file", file), (f"{OBJECTS} gzip objects", objects)]:
        landing = Landing(source, folder)
        contestants = {"Bluelake": landing.by_bluelake} | {name: landing.by(name) for name in PEERS}
        runs, failures = in_turns(rounds, contestants)
        print(f"Transactions, {what}, {megabytes:,.0f} MB of JSON, medians of {rounds}:\n")
        report(runs, failures, landing, megabytes)


def report(runs, failures, landing, megabytes):
    duck = runs.get("DuckDB")
    told = []
    for name, found in runs.items():
        wall, processor = median(found, "wall"), median(found, "processor")
        told.append([
            name, f"{landing.rows[name]:,}", f"{wall:.2f}", f"{median(duck, 'wall') / wall:.2f}" if duck else "–", f"{megabytes / processor:.0f}",
            f"{median(duck, 'processor') / processor:.2f}" if duck else "–", mib(max(run.peak for run in found)),
            f"{landing.bytes[name] / 1e6:.1f}", f"{landing.bytes[name] / landing.bytes['DuckDB']:.2f}" if duck else "–"])
    table(["", "rows", "wall, s", "DuckDB's wall / this", "MB a core-second", "this / DuckDB's", "peak, MiB", "MB out", "of DuckDB's"], told)
    for name, error in failures.items():
        print(f"{name} did not: {error}\n", flush=True)
