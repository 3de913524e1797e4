#!/usr/bin/env python3
"""Every report beside the same SQL in DuckDB, over the same Parquet files, in turns in one run.

    pip install duckdb && cargo build --release && benches/reports.py [EVENTS]     (default 10,000,000)

BLUELAKE names the binary (default target/release/bluelake, below CARGO_TARGET_DIR if that is set), LAKE a lake to use instead of a
generated one, RUNS the runs of each (default 3). Both are given all cores; a run of DuckDB is a process too. Where
DuckDB writes a word otherwise it is replaced (see `translated`). Prints a Markdown table: medians of wall time, Bluelake's peak
memory, the ratio, and whether the rows are the same.
"""

import decimal, json, os, re, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
BLUELAKE = os.environ.get("BLUELAKE", f"{TARGET}/release/bluelake")
RUNS = int(os.environ.get("RUNS", "3"))
# Bluelake may hold so much by its own count; the peak in the table is what the process took. DuckDB may take twice that.
MEMORY, DUCKDB_MEMORY = "1GiB", "2GiB"
# Parameters that have no default.
NEEDED = {"user_statement": "user"}


def run(arguments, **more):
    return subprocess.run([BLUELAKE, *arguments], check=True, capture_output=True, text=True, **more)


def generated(folder, events):
    """A lake of so many events, brought in from files as Firehose leaves them."""
    archive, lake = folder / "archive", folder / "lake"
    archive.mkdir()
    run(["--lake", str(lake), "lake", "init"])
    for stream in ["user-events", "transaction-events"]:
        path = archive / f"{stream}.ndjson"
        run(["generate", "--events", str(events), "--days", "120", "--to", str(path), "--stream", stream])
        run(["--lake", str(lake), "backfill", str(path), "--stream", stream])
        path.unlink()
    return lake


def measured(arguments):
    """Wall time, peak resident bytes and standard output of a process."""
    began = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"{arguments[:4]} ended with {status}")
    return time.monotonic() - began, usage.ru_maxrss * 1024, output


def translated(sql):
    """DataFusion's words in DuckDB's."""
    sql = re.sub(r"(first|last)_value\((\w+)\) IGNORE NULLS", r"\1_value(\2 IGNORE NULLS)", sql)
    sql = re.sub(r"CAST\((\w+_at) AS BIGINT\)", r"epoch_us(\1)", sql)
    sql = re.sub(r"(?<!\w)last_value\((\w+) ORDER BY", r"last(\1 ORDER BY", sql)
    sql = sql.replace("BIGINT) / 604800", "BIGINT) // 604800")
    return sql.replace("TIMESTAMP(6) WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE")


def files(table):
    """The files of the newest version, by the Delta log."""
    active = {}
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                active[action["add"]["path"]] = None
            if "remove" in action:
                active.pop(action["remove"]["path"], None)
    return [str(table / path) for path in active]


DUCKDB = r"""
import duckdb, json, sys
job = json.load(open(sys.argv[1]))
connection = duckdb.connect(config={"threads": job["threads"], "memory_limit": job["memory"]})
connection.execute("SET TimeZone = 'UTC'")
connection.execute("CREATE MACRO to_unixtime(moment) AS CAST(floor(epoch(moment)) AS BIGINT)")
connection.execute("CREATE MACRO cardinality(items) AS len(items)")
connection.execute("CREATE MACRO start_of_day(day) AS CAST(day AS TIMESTAMP) AT TIME ZONE 'UTC'")
for name, paths in job["tables"].items():
    if paths:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({paths!r}, hive_partitioning = true)")
    else:
        connection.execute(f"CREATE TABLE {name} ({job['empty'][name]})")
for name, sql in job["views"].items():
    connection.execute(f"CREATE VIEW {name} AS {sql}")
rows = connection.execute(job["sql"], job["values"]).fetchall()
json.dump(rows, sys.stdout, default=str)
"""


def empty_columns(lake, table):
    """The columns of a table that has no files, for DuckDB."""
    words = {"Timestamp": "TIMESTAMPTZ", "Int": "BIGINT", "Date": "DATE"}
    described = run(["--lake", str(lake), "sql", "--format", "ndjson", f"DESCRIBE {table}"]).stdout.splitlines()
    rows = [json.loads(row) for row in described]
    kinds = [next((word for prefix, word in words.items() if row["data_type"].startswith(prefix)), "VARCHAR") for row in rows]
    return ", ".join(f"{row['column_name']} {kind}" for row, kind in zip(rows, kinds))


def value(kind, text, default):
    if kind == "date":
        return text or ("1970-01-01" if default == "first" else "9999-12-30")
    return int(text) if kind == "integer" else text


def same(ours, theirs):
    """Whether rows are equal, numbers as numbers."""
    def plain(cell):
        if cell is None or isinstance(cell, bool):
            return cell
        if isinstance(cell, (int, float)):
            return decimal.Decimal(str(cell)).normalize()
        text = str(cell)
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            return decimal.Decimal(text).normalize()
        match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(\.\d+)?)(Z|\+00:00|\+00)?", text)
        if match:
            return f"{match[1]}T{match[2].rstrip('0').rstrip('.') if match[3] else match[2]}"
        return text
    return [[plain(cell) for cell in row] for row in ours] == [[plain(cell) for cell in row] for row in theirs]


def main():
    decimal.getcontext().prec = 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
        lake = Path(os.environ["LAKE"]) if "LAKE" in os.environ else generated(folder, events)
        count = run(["--lake", str(lake), "sql", "--format", "csv", "SELECT count(*) FROM transactions"]).stdout.split()[1]
        users = run(["--lake", str(lake), "sql", "--format", "csv", "SELECT count(*) FROM user_events"]).stdout.split()[1]
        user = run(["--lake", str(lake), "sql", "--format", "csv", "SELECT user_id FROM points_ledger GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"]).stdout.split()[1]
        tables = {table: files(lake / table) for table in ["transactions", "user_events", "rejected_events"]}
        size = sum(Path(path).stat().st_size for paths in tables.values() for path in paths)
        print(f"{count} transactions, {users} user events, {size / 1e6:.0f} MB in {sum(map(len, tables.values()))} files, {os.cpu_count()} cores, {RUNS} runs of each\n")
        print("| report | rows | Bluelake, s | peak, MiB | DuckDB, s | ratio | rows |\n| --- | --- | --- | --- | --- | --- | --- |")
        empty = {table: empty_columns(lake, table) for table, paths in tables.items() if not paths}
        views = {path.stem: translated(path.read_text()) for path in sorted((ROOT / "queries/views").glob("*.sql"))}
        script = folder / "duck.py"
        script.write_text(DUCKDB)
        reports, ratios = json.loads(run(["report", "list", "--json"]).stdout), {}
        for report in reports:
            name = report["name"]
            given = ["--parameter", f"user={user}"] if NEEDED.get(name) else []
            values = {}
            for parameter in report["parameters"]:
                default = parameter["default"]
                text = default.get("value") if isinstance(default, dict) else None
                values[parameter["name"]] = user if parameter["name"] == NEEDED.get(name) else value(parameter["kind"], text, default)
            command = [BLUELAKE, "--lake", str(lake), "report", "run", name, *given, "--json", "--memory-limit", MEMORY]
            job = folder / "job.json"
            sql = translated((ROOT / f"queries/reports/{name}.sql").read_text())
            for parameter in report["parameters"]:
                if parameter["kind"] == "date":
                    sql = re.sub(rf"\${parameter['name']}\b", f"CAST(${parameter['name']} AS DATE)", sql)
            job.write_text(json.dumps({"threads": os.cpu_count(), "memory": DUCKDB_MEMORY, "tables": tables, "empty": empty, "views": views, "sql": sql, "values": values}))
            ours, theirs, peak, error = [], [], 0, None
            for _ in range(RUNS):
                seconds, bytes_, output = measured(command)
                ours.append(seconds)
                peak = max(peak, bytes_)
                if error is None:
                    try:
                        seconds, _, other = measured([sys.executable, str(script), str(job)])
                        theirs.append(seconds)
                    except RuntimeError as failure:
                        error = failure
            answer = json.loads(output)
            columns = [column["name"] for column in answer["columns"]]
            rows = [[row[column] for column in columns] for row in answer["rows"]]
            mine = statistics.median(ours)
            if theirs:
                duck = statistics.median(theirs)
                ratios[name] = mine / duck
                verdict = "same" if same(rows, json.loads(other)) else "DIFFERENT"
                print(f"| `{name}` | {len(rows)} | {mine:.2f} | {peak / 2**20:.0f} | {duck:.2f} | {mine / duck:.2f} | {verdict} |", flush=True)
            else:
                print(f"| `{name}` | {len(rows)} | {mine:.2f} | {peak / 2**20:.0f} | – | – | DuckDB ended with an error |", flush=True)
        worst = max(ratios, key=ratios.get)
        print(f"\nGeometric mean of the ratios {statistics.geometric_mean(ratios.values()):.2f}, the worst {ratios[worst]:.2f} (`{worst}`).")


if __name__ == "__main__":
    main()
