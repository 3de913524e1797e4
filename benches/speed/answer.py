"""Asks all reports (benches/reports.py) and plain questions over one lake, as it was landed and compacted."""

import csv, decimal, io, json, os, re, shutil, subprocess, sys
from pathlib import Path

from measure import BLUELAKE, CORES, ROOT, Failed, Run, bluelake, geometric, in_turns, measured, median, mib, table
from questions import QUESTIONS

sys.path.insert(0, str(ROOT / "benches"))
import reports

PEERS = {"DuckDB": "duckdb", "Polars": "polars", "chDB": "chdb", "DataFusion": "datafusion"}


def landed(folder, events):
    lake = folder / "lake"
    bluelake("--lake", lake, "lake", "init")
    for stream in ["user-events", "transaction-events"]:
        file = folder / f"{stream}.ndjson"
        bluelake("generate", "--events", events, "--days", "120", "--to", file, "--stream", stream)
        bluelake("--lake", lake, "backfill", file, "--stream", stream, "--ahead-of-ingest")
        file.unlink()
    return lake


def compacted(lake, folder):
    """A copy of the lake, merged as far as it goes. Files of tables are never written to, so the copy shares them."""
    shutil.copytree(lake, folder, copy_function=os.link)
    bluelake("--lake", folder, "lake", "compact", "--full")
    return folder


def view_of_files(lake, folder):
    """The files that the tables hold, and no others, as folders for the others to read."""
    for name in ["transactions", "user_events"]:
        for number, path in enumerate(map(Path, reports.files(lake / name))):
            place = folder / name / path.parent.relative_to(lake / name) / f"{number}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)


def names_of(lake):
    """A person with many events, and an event."""
    def first(sql):
        return bluelake("--lake", lake, "sql", "--format", "csv", sql).output.split()[1]

    user = first("SELECT civilian_id FROM transactions WHERE civilian_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
    return user, first(f"SELECT min(event_id) FROM transactions WHERE civilian_id = '{user}'")


def plain(cell):
    """A cell as text that is the same in all engines: numbers without needless zeros, times in UTC to the microsecond."""
    if cell is None or cell == "":
        return ""
    text = str(cell)
    if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", text):
        return str(decimal.Decimal(text).normalize() + 0)
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:?0?0?)?)?", text)
    if match:
        fraction = (match[3] or "").rstrip("0").rstrip(".")
        return match[1] if (match[2] or "00:00:00") == "00:00:00" and not fraction else f"{match[1]}T{match[2]}{fraction}"
    return text


def by_bluelake(lake, sql):
    run = bluelake("--lake", lake, "sql", "--format", "csv", sql)
    rows = list(csv.reader(io.StringIO(run.output)))[1:]
    return Run(run.wall, run.processor, run.peak, json.dumps([[plain(cell) for cell in row] for row in rows]))


def by_peer(peer, job, sql):
    job.write_text(json.dumps({"folder": str(job.parent), "sql": sql}))
    run = measured([sys.executable, ROOT / "benches/speed/peers.py", "answer", peer, job, CORES])
    told = json.loads(run.output)
    return Run(told["seconds"], run.processor, run.peak, json.dumps([[plain(cell) for cell in row] for row in told["rows"]]))


def ask(lake, folder, rounds):
    user, event = names_of(lake)
    view_of_files(lake, folder)
    job = folder / "job.json"
    told, ratios = [], {name: [] for name in PEERS}
    for name, sql in QUESTIONS.items():
        sql = " ".join(sql.split()).replace("USER", user).replace("EVENT", event)
        contestants = {"Bluelake": lambda: by_bluelake(lake, sql)}
        contestants |= {peer: lambda peer=peer: by_peer(PEERS[peer], job, sql) for peer in PEERS}
        runs, failures = in_turns(rounds, contestants)
        if "Bluelake" not in runs:
            raise Failed(failures["Bluelake"])
        ours, row = median(runs["Bluelake"], "wall"), []
        for peer in PEERS:
            if peer not in runs:
                row.append("–")
                continue
            ratio = ours / median(runs[peer], "wall")
            ratios[peer].append(ratio)
            row.append(f"{ratio:.2f}" if runs[peer][0].output == runs["Bluelake"][0].output else f"{ratio:.2f}, OTHER ROWS")
        told.append([name, f"{ours:.2f}", mib(max(run.peak for run in runs["Bluelake"])), *row])
        for peer, error in failures.items():
            print(f"<!-- {peer}, {name}: {error} -->")
    told.append(["geometric mean", "", "", *(f"{geometric(ratios[peer]):.2f}" for peer in PEERS)])
    table(["question", "Bluelake, s", "peak, MiB", *(f"of {peer}'s" for peer in PEERS)], told)


def ask_reports(lake, rounds):
    environment = dict(os.environ, LAKE=str(lake), RUNS=str(rounds), BLUELAKE=str(BLUELAKE))
    print(subprocess.run([sys.executable, ROOT / "benches/reports.py"], env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout, flush=True)


def main(folder, events, rounds):
    print(f"## Answer over {events:,} generated events\n", flush=True)
    lake = landed(folder, events)
    for what, lake in [("as it was landed", lake), ("compacted", compacted(lake, folder / "compacted"))]:
        print(f"### Plain questions, the lake {what}\n\nBluelake's is the time of the whole process, the others' from their first statement to the last row. Medians of {rounds}.\n")
        ask(lake, folder / f"files of {lake.name}", rounds)
        print(f"### Reports, the lake {what}\n")
        ask_reports(lake, rounds)
