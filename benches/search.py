#!/usr/bin/env python3
"""How fast the rows of a lake get into a search server, beside `_bulk` requests that were written before the clock started.

    cargo build --release && LAKE=./lake ENDPOINT=http://127.0.0.1:9200 benches/search.py

LAKE is a lake with transactions, ENDPOINT an OpenSearch or Elasticsearch without a password, in which indices with the prefix
`bluelake-bench` are made and deleted again. BLUELAKE names the binary (default target/release/bluelake, below CARGO_TARGET_DIR if that is
set), RUNS the runs of each (default 3), which take turns.

Bluelake reads the rows from Parquet, makes documents of them, sends them and keeps its progress. The other side posts the same documents
with the same versions, one request of at most 5 MB after the other over one connection, to an index with the same mapping: what is left is
the server's own time. Prints Markdown: medians of documents per second, and the ratio.
"""

import http.client, json, os, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path
from urllib.parse import urlparse

import care

PREFIX, PLAIN, TABLE, REQUEST = "bluelake-bench", "bluelake-bench-plain", "transactions", 5_000_000


class Server:
    def __init__(self, endpoint):
        self.at = urlparse(endpoint).netloc
        self.line = http.client.HTTPConnection(self.at, timeout=300)

    def ask(self, method, path, body=None, kind="application/json"):
        self.line.request(method, path, body, {"Content-Type": kind})
        answer = self.line.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text or "null")

    def clear(self):
        for index in self.ask("GET", f"/{PREFIX}*"):
            self.ask("DELETE", f"/{index}")


def delivered(folder):
    began = time.monotonic()
    done = subprocess.run([care.BLUELAKE, "deliver", "bench", "--once", "--json"], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-500:])
    return json.loads(done.stdout)["tables"][0]["rows"], time.monotonic() - began


def requests(server, file):
    """Writes the documents that are there as bodies of requests, each after its length in eight bytes."""
    body, found = bytearray(), server.ask("POST", f"/{PREFIX}-{TABLE}/_search?scroll=5m", json.dumps({"size": 5000, "version": True, "sort": ["_doc"]}))
    with open(file, "wb") as out:
        def put():
            out.write(len(body).to_bytes(8, "big") + body)
            body.clear()
        while found["hits"]["hits"]:
            for hit in found["hits"]["hits"]:
                act = {"index": {"_id": hit["_id"], "version": hit.get("_version", 1), "version_type": "external_gte"}}
                body += json.dumps(act).encode() + b"\n" + json.dumps(hit["_source"]).encode() + b"\n"
                if len(body) > REQUEST:
                    put()
            found = server.ask("POST", "/_search/scroll", json.dumps({"scroll": "5m", "scroll_id": found["_scroll_id"]}))
        if body:
            put()


def posted(server, file, mapping):
    server.ask("PUT", f"/{PLAIN}", json.dumps({"mappings": mapping}))
    seconds = 0.0
    with open(file, "rb") as parts:
        while head := parts.read(8):
            body = parts.read(int.from_bytes(head, "big"))
            began = time.monotonic()
            answer = server.ask("POST", f"/{PLAIN}/_bulk", body, "application/x-ndjson")
            seconds += time.monotonic() - began
            if answer["errors"]:
                raise RuntimeError("an item was refused")
    server.ask("DELETE", f"/{PLAIN}")
    return seconds


def main():
    lake, endpoint = os.environ.get("LAKE"), os.environ.get("ENDPOINT")
    if not lake or not endpoint:
        sys.exit(__doc__)
    server, folder = Server(endpoint), Path(tempfile.mkdtemp(prefix="bluelake-search-"))
    (folder / "bluelake.toml").write_text(
        f'lake = "{Path(lake).resolve()}"\n[[target]]\nname = "bench"\nkind = "search"\naddress = "{endpoint}"\n'
        f'index_prefix = "{PREFIX}"\ntables = ["{TABLE}"]\n')
    try:
        ours, theirs, rows, file = [], [], 0, folder / "requests"
        for turn in range(care.RUNS):
            server.clear()
            rows, seconds = delivered(folder)
            ours.append(rows / seconds)
            if turn == 0:
                requests(server, file)
                mapping = next(iter(server.ask("GET", f"/{PREFIX}-{TABLE}/_mapping").values()))["mappings"]
            server.clear()
            theirs.append(rows / posted(server, file, mapping))
        one, other = statistics.median(ours), statistics.median(theirs)
        print(f"{os.cpu_count()} cores, the server on the same machine\n")
        print("| table | documents | MB of requests | deliver, documents/s | requests alone, documents/s | ratio |\n| --- | --- | --- | --- | --- | --- |")
        print(f"| `{TABLE}` | {rows:,} | {file.stat().st_size / 1e6:.0f} | {one:,.0f} | {other:,.0f} | {one / other:.2f} |")
    finally:
        server.clear()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
