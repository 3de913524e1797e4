"""Time and memory of each step for more and more events, files and shards."""

import shutil

from answer import names_of, reports
from land import generate
from measure import bluelake, mib, table
from questions import QUESTIONS
from stream import Server

EVENTS = [1_000_000, 3_000_000, 10_000_000, 30_000_000]
FILES = [100, 1_000, 10_000, 100_000]
SHARDS = [1, 10, 100, 1_000]
# Events that are spread over shards, and about so many for each file when files are counted.
STREAMED, EVENTS_A_FILE = 200_000, 20


def seconds(run):
    return f"{run.wall:.2f} s, {mib(run.peak)} MiB"


def by_events(folder, most):
    """Landing, opening, each question and compaction, by events."""
    steps = {}
    counts = [count for count in EVENTS if count <= most * 3]
    for count in counts:
        place = folder / "events"
        place.mkdir()
        file, objects = generate(place, count)
        shutil.rmtree(objects)
        lake = place / "lake"
        bluelake("--lake", lake, "lake", "init")
        steps.setdefault("land", []).append(bluelake("--lake", lake, "backfill", file, "--stream", "transaction-events", "--ahead-of-ingest"))
        file.unlink()
        ask(lake, steps)
        steps.setdefault("compact", []).append(bluelake("--lake", lake, "lake", "compact", "--full"))
        shutil.rmtree(place)
    print("### By generated events\n")
    table(["step", *(f"{count:,}" for count in counts)], [[name, *map(seconds, runs)] for name, runs in steps.items()])


def ask(lake, steps):
    user, event = names_of(lake)
    steps.setdefault("open and plan", []).append(bluelake("--lake", lake, "sql", "--format", "csv", "EXPLAIN SELECT count(*) FROM transactions WHERE points > 1"))
    for name, sql in QUESTIONS.items():
        sql = " ".join(sql.split()).replace("USER", user).replace("EVENT", event)
        steps.setdefault(name, []).append(bluelake("--lake", lake, "sql", "--format", "csv", sql))


def by_files(folder, most):
    """Opening, each question and compaction, by files of few rows: each kind and day is a file."""
    steps, found = {}, []
    for count in (count for count in FILES if count * 100 <= most):
        lake, file = folder / "files", folder / "few.ndjson"
        bluelake("--lake", lake, "lake", "init")
        # Four kinds of event a day, of which few days have the rarest.
        days = max(count // 3, 1)
        bluelake("generate", "--events", count * EVENTS_A_FILE, "--days", days, "--to", file, "--stream", "transaction-events")
        steps.setdefault("land", []).append(bluelake("--lake", lake, "backfill", file, "--stream", "transaction-events", "--ahead-of-ingest"))
        found.append(len(reports.files(lake / "transactions")))
        ask(lake, steps)
        steps.setdefault("compact", []).append(bluelake("--lake", lake, "lake", "compact"))
        shutil.rmtree(lake)
    print("### By files of few events\n")
    table(["step", *(f"{count:,}" for count in found)], [[name, *map(seconds, runs)] for name, runs in steps.items()])


def by_shards(folder):
    """Ingest of the same events, by shards of the stream of transactions."""
    runs = []
    for count in SHARDS:
        with Server(STREAMED, shards=(1, count)) as server:
            runs.append(server.ingest(folder / "shards"))
    print(f"### By shards, {STREAMED:,} events, the server on the same cores\n")
    table(["step", *(f"{count:,}" for count in SHARDS)], [["ingest", *map(seconds, runs)]])


def main(folder, events, _):
    print("## Grow\n\nOne run each.\n", flush=True)
    by_events(folder, events)
    by_files(folder, events)
    by_shards(folder)
