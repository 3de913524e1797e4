#!/usr/bin/env python3
"""How long after a commit its rows are in a target.

    cargo build --release && ADDRESS=postgres://owner@127.0.0.1:5432/points ENDPOINT=http://127.0.0.1:9200 benches/lag.py [SECONDS]

Ingest commits about every second (200 events twice a second) while one `bluelake deliver` follows for each target that is named: ADDRESS is
a PostgreSQL database (PGPASSWORD is its password), ENDPOINT a search server; each alone is enough. It makes a schema (`bluelake_bench`) and
indices (`bluelake-bench-…`), which must not be there before, and leaves them. A commit begins to count when its log entry is seen, and has
arrived when the metric `bluelake_deliver_version` reaches it; both are looked at every 20 ms. BLUELAKE names the binary (default
target/release/bluelake, below CARGO_TARGET_DIR if that is set). Prints Markdown.
"""

import os, re, shutil, signal, statistics, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

import care

TABLE = "transactions"


def settings(lake):
    targets, address, endpoint = [], os.environ.get("ADDRESS"), os.environ.get("ENDPOINT")
    text = f'lake = "{lake}"\n'
    if address:
        targets.append("postgres")
        text += f'[[target]]\nname = "postgres"\nkind = "postgres"\naddress = "{address}"\nschema = "bluelake_bench"\ntables = ["{TABLE}"]\n'
    if endpoint:
        targets.append("search")
        text += f'[[target]]\nname = "search"\nkind = "search"\naddress = "{endpoint}"\nindex_prefix = "bluelake-bench"\ntables = ["{TABLE}"]\n'
    return targets, text


def newest(lake):
    names = (name for name in os.listdir(f"{lake}/{TABLE}/_delta_log") if re.fullmatch(r"\d{20}\.json", name))
    return max(int(name[:20]) for name in names)


def held(port):
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1).read().decode()
    except OSError:
        return -1
    found = re.search(r"^bluelake_deliver_version\{.*?\} (\d+)", text, re.M)
    return int(found.group(1)) if found else -1


def main():
    targets, text = settings("lake")
    if not targets:
        sys.exit(__doc__)
    seconds, folder = int(sys.argv[1]) if len(sys.argv) > 1 else 60, Path(tempfile.mkdtemp(prefix="bluelake-lag-"))
    lake, deliveries, ports = str(folder / "lake"), [], {name: care.free_port() for name in targets}
    care.run(["--lake", lake, "lake", "init"])
    (folder / "bluelake.toml").write_text(text)
    beside = care.Beside(folder, lake, readers=0)
    try:
        for name in targets:
            subprocess.run([care.BLUELAKE, "deliver", "rebuild", name], cwd=folder, stdout=subprocess.DEVNULL, check=True)
            deliveries.append(subprocess.Popen(
                [care.BLUELAKE, "deliver", name, "--listen", f"127.0.0.1:{ports[name]}"], cwd=folder, stdout=subprocess.DEVNULL))
        until = time.monotonic() + 60
        while any(held(port) < 0 for port in ports.values()):
            if time.monotonic() > until:
                raise RuntimeError("a delivery does not begin")
            time.sleep(0.1)
        committed, arrived = {}, {name: {} for name in targets}
        last, reached, end = newest(lake), {name: held(port) for name, port in ports.items()}, time.monotonic() + seconds
        while time.monotonic() < end + 10:
            now, version = time.monotonic(), newest(lake)
            if now < end:
                committed.update({number: now for number in range(last + 1, version + 1)})
            last = version
            for name, port in ports.items():
                version, now = held(port), time.monotonic()
                arrived[name].update({number: now for number in range(reached[name] + 1, version + 1)})
                reached[name] = max(reached[name], version)
            time.sleep(0.02)
    finally:
        for process in deliveries:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        beside.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{os.cpu_count()} cores, ingest and the servers on the same machine\n")
    print("| target | commits | median, s | p90, s | most, s |\n| --- | --- | --- | --- | --- |")
    for name in targets:
        lags = sorted(max(0.0, arrived[name][number] - began) for number, began in committed.items() if number in arrived[name])
        if len(lags) < len(committed) or not lags:
            raise RuntimeError(f"{name}: {len(committed) - len(lags)} of {len(committed)} commits did not arrive")
        print(f"| {name} | {len(lags)} | {statistics.median(lags):.2f} | {lags[int(len(lags) * 0.9)]:.2f} | {lags[-1]:.2f} |")


if __name__ == "__main__":
    main()
