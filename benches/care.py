#!/usr/bin/env python3
"""What maintenance does to a lake beside ingest and queries, and whether other engines still read the same rows.

    pip install duckdb deltalake polars pysail 'pyspark[connect]==4.0.1' 'pandas<3'
    cargo build --release && benches/care.py [FILES]     (default 3,000)

BLUELAKE names the binary (default target/release/bluelake, below CARGO_TARGET_DIR if that is set), RUNS the runs of each
report (default 3), ALONE the seconds for which commits of ingest are measured without compaction and with it (default
60). An engine that is not installed is named as not asked.

Brings about FILES small files of transactions into a new lake, times twelve reports, compacts while ingest commits every
second and four readers ask in a loop, times the reports again. After each operation every engine counts the rows and sums
the points of one version, and DuckDB digests every column of the rows that were there at first; `lake verify` must leave
nothing unchecked. Prints Markdown; ends with 1 when anything is not as it must be.
"""

import datetime, importlib.util, json, os, random, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
BLUELAKE = os.environ.get("BLUELAKE", f"{TARGET}/release/bluelake")
RUNS = int(os.environ.get("RUNS", "3"))
DAYS, BACKFILLS = 5, 150
# Seconds for which the commits of ingest are measured, without compaction and with it.
ALONE = int(os.environ.get("ALONE", "60"))
REPORTS = [
    "donations", "redemptions", "interactions", "top_recipients", "top_items", "points_liability", "redemption_rate",
    "repeat_connections", "new_pairs", "gift_sizes", "donated_share", "redemptions_by_provider",
]
READERS = [
    "SELECT count(*) FROM transactions",
    "SELECT event_type, count(*), sum(points) FROM transactions GROUP BY 1",
    "SELECT count(DISTINCT event_id) FROM transactions",
    "SELECT * FROM transactions ORDER BY occurred_at DESC LIMIT 50",
]
# Every row that the backfills brought in, whatever ingest adds meanwhile.
FIRST_ROWS = "stream_shard LIKE 'archive:%'"
EXPIRE = ["expire", "--table", "transactions", "--keep", "3d", "--accept-changed-balances"]
WRONG = []


def wrong(text):
    WRONG.append(text)
    print(f"\n**WRONG: {text}**\n")


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def run(arguments, environment=None):
    done = subprocess.run([BLUELAKE, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def bring_in(folder, lake, files):
    """About so many small files: events of a few days in shuffled order, in as many backfills as make them."""
    run(["--lake", lake, "lake", "init"])
    source = folder / "events.ndjson"
    events = max(files * 89, 10_000)
    run(["generate", "--events", str(events), "--days", str(DAYS), "--to", str(source), "--stream", "transaction-events"])
    lines = source.read_bytes().splitlines(keepends=True)
    source.unlink()
    random.Random(7).shuffle(lines)
    rounds = max(1, round(BACKFILLS * files / 3_000))
    share = -(-len(lines) // rounds)
    for number in range(rounds):
        part = folder / f"part-{number}.ndjson"
        part.write_bytes(b"".join(lines[number * share:(number + 1) * share]))
        run(["--lake", lake, "backfill", str(part), "--stream", "transaction-events"])
        part.unlink()


def active(table, version=None):
    """The files of a version by the Delta log from its beginning, by path; with the version."""
    found, newest = {}, -1
    for commit in sorted((table / "_delta_log").glob("*.json")):
        if version is not None and int(commit.stem) > version:
            break
        newest = int(commit.stem)
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                found[action["add"]["path"]] = action["add"]["size"]
            if "remove" in action:
                found.pop(action["remove"]["path"], None)
    return found, newest


def timed_reports(lake):
    seconds = {}
    for report in REPORTS:
        runs = []
        for _ in range(RUNS):
            began = time.monotonic()
            run(["--lake", lake, "report", "run", report, "--format", "csv"])
            runs.append(time.monotonic() - began)
        seconds[report] = statistics.median(runs)
    return seconds


def has(module):
    return importlib.util.find_spec(module) is not None


class Engines:
    """Each gives rows and points of one version of a table."""

    def __init__(self):
        self.asked = {"DuckDB": self.duckdb, "deltalake": self.deltalake, "Polars": self.polars, "PySail": self.pysail}
        modules = {"DuckDB": "duckdb", "deltalake": "deltalake", "Polars": "polars", "PySail": "pysail"}
        self.missing = [name for name, module in modules.items() if not has(module)]
        if not has("pyspark") and "PySail" not in self.missing:
            self.missing.append("PySail")
        for name in self.missing:
            self.asked.pop(name)
        self.spark = None

    def close(self):
        if self.spark:
            session, server = self.spark
            session.stop()
            server.stop()

    def duckdb(self, table, version):
        import duckdb
        files = [str(table / path) for path in active(table, version)[0]]
        return duckdb.execute("SELECT count(*), sum(points) FROM read_parquet(?, union_by_name = true)", [files]).fetchone()

    def deltalake(self, table, version):
        import deltalake
        rows = deltalake.DeltaTable(str(table), version=version).to_pyarrow_table(columns=["points"])
        return rows.num_rows, sum(value for value in rows["points"].to_pylist() if value is not None)

    def polars(self, table, version):
        import polars
        rows = polars.scan_delta(str(table), version=version).select("points").collect()
        return rows.height, rows["points"].sum()

    def pysail(self, table, version):
        if self.spark is None:
            from pysail.spark import SparkConnectServer
            from pyspark.sql import SparkSession
            os.environ.setdefault("RUST_LOG", "error")
            server = SparkConnectServer("127.0.0.1", 0)
            server.start(background=True)
            _, port = server.listening_address
            self.spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate(), server
        rows = self.spark[0].read.format("delta").option("versionAsOf", version).load(f"file://{table}")
        row = rows.selectExpr("count(*)", "sum(points)").collect()[0]
        return row[0], row[1]

    def compare(self, table, after):
        version = active(table)[1]
        found = {}
        for name, ask in self.asked.items():
            try:
                found[name] = tuple(int(value) for value in ask(table, version))
            except Exception as error:
                wrong(f"{name} cannot read version {version} after {after}: {str(error)[:300]}")
        if len(set(found.values())) > 1:
            wrong(f"engines differ after {after}: {found}")
        rows, points = next(iter(found.values()), (None, None))
        print(f"| {after} | {version} | {rows:,} | {points:,} | {', '.join(found)} |", flush=True)


def first_rows(table):
    """Rows and a digest of every column of the rows that the backfills brought in, in whatever order and files they are."""
    import duckdb
    files = [str(table / path) for path in active(table)[0]]
    columns = duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?, union_by_name = true)", [files]).fetchall()
    names = ", ".join(f'"{name}"' for name in sorted(column[0] for column in columns))
    sql = f"SELECT count(*), sum(hash(row({names}))::HUGEINT), bit_xor(hash(row({names}))) FROM read_parquet(?, union_by_name = true) WHERE {FIRST_ROWS}"
    return duckdb.execute(sql, [files]).fetchone()


def verify(lake, after):
    done = subprocess.run([BLUELAKE, "--lake", lake, "lake", "verify", "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        return wrong(f"lake verify after {after} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-300:]}")
    report = json.loads(done.stdout)
    for stream in report["streams"]:
        for check in stream["checks"]:
            if check["outcome"] not in ("passed", {"outcome": "passed"}):
                wrong(f"after {after}: {stream['stream']} {check}")


class Beside:
    """Ingest that commits every second, something that puts events, and four readers in a loop."""

    def __init__(self, folder, lake, readers=len(READERS), auto_compact=False):
        self.lake, self.over, self.asked, self.failures = lake, threading.Event(), [0] * readers, []
        port, self.metrics_port = free_port(), free_port()
        self.environment = dict(
            os.environ, AWS_ENDPOINT_URL_KINESIS=f"http://127.0.0.1:{port}", AWS_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="embedded", AWS_SECRET_ACCESS_KEY="embedded", BLUELAKE_CARE_AUTO_COMPACT=str(auto_compact).lower())
        quiet = {"stdout": subprocess.DEVNULL, "stderr": open(folder / "beside.log", "ab")}
        self.kinesis = subprocess.Popen([BLUELAKE, "dev-kinesis", "--port", str(port)], **quiet)
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        self.worker = subprocess.Popen(
            [BLUELAKE, "--lake", lake, "ingest", "--buffer-age", "1s", "--listen", f"127.0.0.1:{self.metrics_port}"],
            env=self.environment, **quiet)
        self.threads = [threading.Thread(target=self.put)]
        self.threads += [threading.Thread(target=self.read, args=[number]) for number in range(readers)]
        for thread in self.threads:
            thread.start()

    def put(self):
        seed = 0
        while not self.over.wait(0.5):
            seed += 1
            # What happened in the last hour, as it does in a stream, and not in days long past.
            end = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            put = ["generate", "--events", "200", "--seed", str(seed), "--days", "1", "--end", end, "--to", "kinesis"]
            try:
                run(put, self.environment)
            except RuntimeError as error:
                self.failures.append(str(error))

    def read(self, number):
        while not self.over.is_set():
            try:
                run(["--lake", self.lake, "sql", READERS[number], "--format", "csv"])
                self.asked[number] += 1
            except RuntimeError as error:
                self.failures.append(str(error))

    def commits(self):
        """The durations of all commits so far: how many were at most so many seconds, by bound."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics").read().decode()
        found = {}
        for bound, count in re.findall(r'bluelake_commit_duration_seconds_bucket{.*?le="(.*?)"} (\d+)', text):
            found[float(bound)] = found.get(float(bound), 0) + int(count)
        return found

    def stop(self):
        if self.over.is_set():
            return
        self.over.set()
        for thread in self.threads:
            thread.join()
        time.sleep(3)
        self.worker.send_signal(signal.SIGTERM)
        if self.worker.wait(120) != 0:
            wrong(f"ingest ended with {self.worker.returncode}")
        self.kinesis.terminate()
        self.kinesis.wait()
        for failure in self.failures:
            wrong(f"beside the compaction: {failure}")


def quantile(before, after, share):
    """The duration under which this share of the commits between two readings was, interpolated between the bounds."""
    counts = [(bound, after[bound] - before.get(bound, 0)) for bound in sorted(after)]
    if not counts or counts[-1][1] == 0:
        wrong("ingest committed nothing while its commits were measured")
        return float("nan")
    wanted, low, below = share * counts[-1][1], 0.0, 0
    for bound, count in counts:
        if count >= wanted and count > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low


def measured_compaction(lake):
    began = time.monotonic()
    process = subprocess.Popen([BLUELAKE, "--lake", lake, "lake", "compact", "--json"], stdout=subprocess.PIPE, text=True)
    # Not that of wait4: it would count this process, out of which the other came.
    peak, status = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
        peak = max(peak, int(found.group(1)) if found else 0)
        time.sleep(0.02)
    output = process.stdout.read()
    if process.returncode != 0:
        wrong(f"lake compact ended with {process.returncode}")
    return json.loads(output), time.monotonic() - began, peak / 1024


def main():
    files = int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 3_000
    folder = Path(tempfile.mkdtemp(prefix="bluelake-care-"))
    lake, engines, beside = str(folder / "lake"), Engines(), None
    table = folder / "lake" / "transactions"
    try:
        bring_in(folder, lake, files)
        count = len(active(table)[0])
        print(f"{count:,} files, {os.cpu_count()} cores; engines not asked: {', '.join(engines.missing) or 'none'}\n")
        print("| after | version | rows | points | counted alike by |\n| --- | --- | --- | --- | --- |")
        engines.compare(table, "the backfills")
        rows, before = first_rows(table), timed_reports(lake)
        commits = active(table)[1]
        beside = Beside(folder, lake)
        time.sleep(10)
        marks = [beside.commits()]
        time.sleep(ALONE)
        marks.append(beside.commits())
        summary, seconds, peak = measured_compaction(lake)
        # As often as a fleet would at most: a commit a minute and table, and here a few a minute.
        until = time.monotonic() + ALONE
        while time.monotonic() < until:
            run(["--lake", lake, "lake", "compact"])
            time.sleep(10)
        marks.append(beside.commits())
        beside.stop()
        if first_rows(table) != rows:
            wrong(f"the rows of before are {first_rows(table)}, they were {rows}")
        engines.compare(table, "compact beside ingest")
        verify(lake, "compact")
        after = timed_reports(lake)
        for operation in [["compact", "--full"], ["undo"], ["vacuum"], EXPIRE]:
            if operation == ["undo"]:
                operation = ["undo", str(active(table)[1]), "--table", "transactions", "--yes"]
            run(["--lake", lake, "lake", *operation])
            name = " ".join(operation)
            engines.compare(table, name)
            verify(lake, name)
            if operation != EXPIRE and first_rows(table) != rows:
                wrong(f"the rows of before are others after {name}")
        compacted = next(table for table in summary["tables"] if table["table"] == "transactions")
        print(f"\nCompaction beside {active(table)[1] - commits} other commits: {compacted['files_before']:,} files to "
              f"{compacted['files_after']:,} in {seconds:.1f} s, {peak:.0f} MiB at most; readers answered {beside.asked} times, "
              f"{len(beside.failures)} failures.\n")
        print("| report | before, s | after, s | ratio |\n| --- | --- | --- | --- |")
        for report in REPORTS:
            print(f"| `{report}` | {before[report]:.2f} | {after[report]:.2f} | {before[report] / after[report]:.1f} |")
        ratio = sum(before.values()) / sum(after.values())
        print(f"| all | {sum(before.values()):.1f} | {sum(after.values()):.1f} | {ratio:.1f} |")
        print("\n| commits of ingest | alone, s | beside compaction, s | ratio |\n| --- | --- | --- | --- |")
        for share, name in [(0.5, "median"), (0.99, "p99")]:
            without, beside_it = (quantile(marks[i], marks[i + 1], share) for i in (0, 1))
            print(f"| {name} | {without:.3f} | {beside_it:.3f} | {beside_it / without:.2f} |")
        if ratio < 1.5:
            wrong(f"reports are {ratio:.2f} times as fast, not 1.5")
    finally:
        if beside:
            beside.stop()
        engines.close()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if WRONG else 0)


if __name__ == "__main__":
    main()
