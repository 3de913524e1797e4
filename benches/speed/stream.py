"""Reads a filled Kinesis on this machine into a lake, beside a loop of GetRecords of the same SDK that only reads it."""

import json, os, shutil, socket, subprocess, time
from pathlib import Path

from measure import BLUELAKE, bluelake, in_turns, measured, median, mib, table

LOOP = Path(BLUELAKE).parent / "examples" / "get_records"
STREAMS = ["user-events", "transaction-events"]


class Server:
    """A Kinesis in memory, filled with events."""

    def __init__(self, events, shards=(2, 4), aggregate=1):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.environment = dict(
            os.environ, AWS_ENDPOINT_URL_KINESIS=f"http://127.0.0.1:{port}", AWS_REGION="us-east-1", AWS_ACCESS_KEY_ID="embedded",
            AWS_SECRET_ACCESS_KEY="embedded", BLUELAKE_INGEST_SHARD_RATE="1GB")
        arguments = ["dev-kinesis", "--port", str(port), "--user-shards", str(shards[0]), "--transaction-shards", str(shards[1])]
        self.process = subprocess.Popen([BLUELAKE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        more = [] if aggregate == 1 else ["--aggregate", str(aggregate)]
        bluelake("generate", "--events", events, "--bad-rate", "0.01", "--duplicate-rate", "0.01", "--to", "kinesis", *more, environment=self.environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def ingest(self, lake):
        shutil.rmtree(lake, ignore_errors=True)
        return bluelake("--lake", lake, "ingest", "--once", "--init", "--json", environment=self.environment)

    def loop(self):
        return measured([LOOP, *STREAMS], self.environment)


def main(folder, events, rounds):
    events = min(events, 2_000_000)
    print(f"## Stream {events:,} generated events to the lake\n\nKinesis in memory on the same cores, 2 + 4 shards. The time of the server is not in the processor time.\n", flush=True)
    told = []
    for aggregate in [1, 100]:
        with Server(events, aggregate=aggregate) as server:
            runs, failures = in_turns(rounds, {"ingest": lambda: server.ingest(folder / "lake"), "loop": server.loop})
        for name, error in failures.items():
            print(f"{name} did not: {error}\n")
        if failures:
            continue
        size = json.loads(runs["loop"][0].output)["bytes"] / 1e6
        for name, found in runs.items():
            wall = median(found, "wall")
            told.append([
                aggregate, name, f"{wall:.2f}", f"{size / wall:.0f}", f"{events / wall:,.0f}", f"{median(runs['loop'], 'wall') / wall:.2f}",
                f"{median(found, 'processor') / events * 1e6:.2f}", mib(max(run.peak for run in found))])
    table(["events a record", "", "wall, s", "MB/s", "events/s", "of the loop's", "processor seconds a million events", "peak, MiB"], told)
