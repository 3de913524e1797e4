#!/usr/bin/env python3
"""What maintenance takes of a machine: memory, the time of ingest's commits, the log.

    cargo build --release && benches/limits.py memory [GIB] [FILES]     (default 4 and 2,000)
                             benches/limits.py commits [SECONDS]        (default 180)
                             benches/limits.py log [FILES]              (default 5,000)

memory   one partition of so many GiB in so many files; the most memory that `lake compact` takes, beside that of a run
         that only plans.
commits  ingest with compaction beside it and without, in turns of so many seconds, twice each, over a lake that begins
         with 1,000 small files; how long its commits take.
log      a table of so many files: the size of its log checkpoint, how long it takes to open it, and what 16 workers that
         commit once a minute would keep of log checkpoints in 30 days by the rules of docs/operating.md.

BLUELAKE names the binary (default target/release/bluelake, below CARGO_TARGET_DIR if that is set). Prints Markdown.
"""

import base64, json, os, re, shutil, subprocess, sys, tempfile, time, uuid
from pathlib import Path

import care

DAY = "2026-11-20"
# Versions of a table between two log checkpoints, and how they are thinned (docs/operating.md).
DISTANCE, FRESH_HOURS, DAYS, COMMITS_A_DAY = 100, 24, 30, 16 * 24 * 60


def peak(arguments):
    """The most memory of a run, in MiB, and its seconds."""
    began = time.monotonic()
    process = subprocess.Popen([care.BLUELAKE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    highest, status = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
        highest = max(highest, int(found.group(1)) if found else 0)
        time.sleep(0.01)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}: {process.stderr.read()[-500:]}")
    return highest / 1024, time.monotonic() - began


def large_partition(folder, lake, gib, files):
    """Interactions of one day, each with a kilobyte and a half that does not compress."""
    care.run(["--lake", lake, "lake", "init"])
    events = gib * 2**30 // files // 1_500
    for number in range(files):
        part = folder / "part.ndjson"
        with part.open("wb") as out:
            for _ in range(events):
                noise = base64.b64encode(os.urandom(1_500)).decode()
                out.write(json.dumps({
                    "event_type": "interaction", "event_id": str(uuid.uuid4()), "occurred_at": f"{DAY}T12:00:00Z",
                    "civilian_id": str(uuid.uuid4()), "officer_id": str(uuid.UUID(int=number)), "method": "qr",
                    "points_civilian": 1, "points_officer": 1, "zip_code": "94110", "noise": noise}).encode() + b"\n")
        care.run(["--lake", lake, "backfill", str(part), "--stream", "transaction-events"])
        part.unlink()


def memory(folder, gib="4", files="2000"):
    lake = str(folder / "lake")
    large_partition(folder, lake, int(gib), int(files.replace(",", "")))
    found, _ = care.active(folder / "lake" / "transactions")
    partitions = {str(Path(path).parent) for path in found}
    if not found:
        sys.exit("no event was stored: the contract has changed")
    print(f"{len(found):,} files in {len(partitions)} partition, {sum(found.values()) / 2**30:.2f} GiB, {os.cpu_count()} cores\n")
    idle, _ = peak(["--lake", lake, "lake", "compact", "--dry-run"])
    highest, seconds = peak(["--lake", lake, "lake", "compact", "--full"])
    after, _ = care.active(folder / "lake" / "transactions")
    care.verify(lake, "compact")
    print(f"`lake compact --full`: {len(found):,} files to {len(after)} in {seconds:.1f} s, {highest:.0f} MiB at most; "
          f"`--dry-run` takes {idle:.0f} MiB, so {highest - idle:.0f} MiB more")
    if highest - idle > 256:
        care.wrong(f"compaction takes {highest - idle:.0f} MiB, not 256")


def commits(folder, seconds="180"):
    lake = str(folder / "lake")
    care.bring_in(folder, lake, 1_000)
    found = {False: [], True: []}
    for turn in range(4):
        compacts = turn % 2 == 1
        beside = care.Beside(folder, lake, readers=0, auto_compact=compacts)
        try:
            time.sleep(10)
            before = beside.commits()
            time.sleep(int(seconds))
            found[compacts].append((before, beside.commits()))
        finally:
            beside.stop()
    files = len(care.active(folder / "lake" / "transactions")[0])
    print(f"{files:,} files in the end, {os.cpu_count()} cores\n")
    print("| commits of ingest | alone, s | beside compaction, s | ratio |\n| --- | --- | --- | --- |")
    for share, name in [(0.5, "median"), (0.99, "p99")]:
        alone, beside_it = (
            sum(care.quantile(*marks, share) for marks in found[compacts]) / len(found[compacts]) for compacts in (False, True))
        print(f"| {name} | {alone:.3f} | {beside_it:.3f} | {beside_it / alone:.2f} |")


def log(folder, files="5000"):
    lake = str(folder / "lake")
    care.bring_in(folder, lake, int(files.replace(",", "")))
    run = ["--lake", lake, "lake", "status", "--json"]
    status = json.loads(care.run(run))
    table = next(table for table in status["tables"] if table["table"] == "transactions")
    checkpoints = sorted((folder / "lake" / "transactions" / "_delta_log").glob("*.checkpoint.parquet"))
    newest = checkpoints[-1].stat().st_size
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        care.run(["--lake", lake, "sql", "SELECT 1 FROM transactions LIMIT 0", "--format", "csv"])
        seconds.append(time.monotonic() - began)
    kept = FRESH_HOURS / 24 * COMMITS_A_DAY / DISTANCE + (DAYS - 1) * 24
    print(f"{table['files']:,} files, {len(checkpoints)} log checkpoints, the newest of {newest / 2**20:.2f} MiB; a process "
          f"that opens the table and answers nothing: {sorted(seconds)[2]:.2f} s")
    print(f"16 workers, a commit a minute: {kept:,.0f} log checkpoints in 30 days, {kept * newest / 1e9:.2f} GB")
    if kept * newest > 3e9:
        care.wrong("log checkpoints take more than 3 GB")


def main():
    parts = {"memory": memory, "commits": commits, "log": log}
    if len(sys.argv) < 2 or sys.argv[1] not in parts:
        sys.exit(__doc__)
    folder = Path(tempfile.mkdtemp(prefix="bluelake-limits-"))
    try:
        parts[sys.argv[1]](folder, *sys.argv[2:])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if care.WRONG else 0)


if __name__ == "__main__":
    main()
