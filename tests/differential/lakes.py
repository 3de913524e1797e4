"""Random lakes: events that are good by the contract, landed by Bluelake in many small pieces, and the same rows in DuckDB.

Values are few and repeat, so that there are ties and joins meet; some are at the limits of the contract, and whatever may
be left out is left out at times.
"""

import datetime
import json
import os
import random
import subprocess
import tomllib
import uuid
from pathlib import Path

import duckdb

from relations import view_definitions

CIVILIANS = ["civ-1", "civ-2", "civ-3", "civ-4", "C_5", "civ é", "o'hara", "civ%6"]
OFFICERS = ["off-1", "off-2", "off-3"]
RECIPIENTS = [("cha-1", "charity"), ("cha-2", "charity"), ("fam-1", "family_in_need"), ("civ-1", "family_in_need")]
PROVIDERS = [("mer-1", "merchant"), ("mer-2", "merchant"), ("mun-1", "municipality")]
ZIP_CODES = ["10001", "10002", "60601", "00501", None, None]
POINTS = [1, 2, 5, 5, 10, 10, 0, 25, 100, 1000, 3, 7]
CONTRACT = Path(__file__).resolve().parents[2] / "schemas/events/transaction_events.toml"
POINTS_MAX = next(field["max"] for field in tomllib.loads(CONTRACT.read_text())["fields"] if field["name"] == "points")
FAR_POINTS = [2**31 - 1, 2**31, *(value for value in [10**12, 10**12 - 1, 2**53 + 1, 10**16] if value <= POINTS_MAX)]
NAMES = ["Ann", "ann", "Ábel", "", "Bob  B", "a%b_c\\d", None, None, "Zoë 🙂"]
TABLES = ["transactions", "user_events", "rejected_events"]


class Events:
    """Draws events; the zone of their days and what is extreme differ from lake to lake."""

    def __init__(self, seed):
        self.random = random.Random(f"lake {seed}")
        # Some lakes hold nothing extreme, so that sums go on and doubles are exact.
        self.far = self.random.choice([0, 0, 0.03])
        self.days = self.random.choice([2, 3, 5])
        self.start = self.random.choice(["2026-11-01", "2026-10-31", "2026-03-07", "2024-02-28", "2025-12-30"])

    def pieces(self, transactions=None, users=None):
        """Lists of (stream, event), each to be brought in by itself."""
        count = transactions if transactions is not None else self.random.choice([0, 1, 12, 90, 160, 250])
        events = [("transaction-events", self.transaction()) for _ in range(count)]
        events += [("user-events", self.user()) for _ in range(users if users is not None else self.random.choice([0, 5, 60]))]
        self.random.shuffle(events)
        pieces = [[] for _ in range(self.random.choice([1, 2, 4]))]
        for event in events:
            self.random.choice(pieces).append(event)
        return pieces

    def envelope(self, kind):
        begin = datetime.datetime.fromisoformat(f"{self.start}T00:00:00+00:00")
        second = self.random.choice([self.random.randrange(86_400), self.random.choice([0, 1, 43_200, 86_399, 21_600])])
        moment = begin + datetime.timedelta(days=self.random.randrange(self.days), seconds=second, microseconds=self.random.choice([0, 0, 1, 500_000, 999_999]))
        event = {"event_id": str(uuid.UUID(int=self.random.getrandbits(128), version=4)), "event_type": kind, "occurred_at": moment.isoformat()}
        return self.with_optional(event, channel=self.random.choice(["mobile", "web", None]))

    def with_optional(self, event, **fields):
        return event | {name: value for name, value in fields.items() if value is not None}

    def points(self):
        return self.random.choice(FAR_POINTS if self.random.random() < self.far else POINTS)

    def transaction(self):
        choose = self.random.choice
        kind = choose(["interaction", "donation", "donation", "redemption", "transfer"])
        event = self.envelope(kind)
        zip_code = choose(ZIP_CODES)
        if kind == "interaction":
            event |= {"civilian_id": choose(CIVILIANS), "officer_id": choose(OFFICERS), "method": choose(["qr", "nearby", "event"])}
            event |= {"points_civilian": self.points(), "points_officer": self.points(), "zip_code": zip_code or "10001"}
            return self.with_optional(event, distance_ft=choose([None, 0, 0.5, 2.25, 1e-9, 12.5, 3.0, 1e15]))
        if kind == "donation":
            recipient, recipient_kind = choose(RECIPIENTS)
            donor = choose([(choose(CIVILIANS), "civilian"), (choose(OFFICERS), "police_officer")])
            event |= {"donor_id": donor[0], "donor_kind": donor[1], "recipient_id": recipient, "recipient_kind": recipient_kind}
            return self.with_optional(event | {"points": self.points()}, zip_code=zip_code)
        if kind == "transfer":
            sender, receiver, points = choose(OFFICERS), choose(OFFICERS), self.points()
            # Nothing sent to oneself would be two rows of the ledger that nothing tells apart, so that no order of them is known.
            return event | {"from_officer_id": sender, "to_officer_id": receiver, "points": points or int(sender == receiver)}
        return self.redemption(event, zip_code)

    def redemption(self, event, zip_code):
        choose = self.random.choice
        provider, provider_kind = choose(PROVIDERS)
        purpose = "goods" if provider_kind == "merchant" else choose(["fine", "fee"])
        redeemer = choose([(choose(CIVILIANS), "civilian"), ("fam-1", "family_in_need"), ("cha-1", "charity")])
        event |= {"redeemer_id": redeemer[0], "redeemer_kind": redeemer[1], "provider_id": provider, "provider_kind": provider_kind}
        event |= {"purpose": purpose, "points": self.points()}
        items = choose([None, [], "some", "some"])
        if items == "some":
            items = [{"sku": f"s{choose([1, 2, 3])}", "name": choose(["Bread", "bread", "Milk"]), "quantity": choose([1, 2, 0]), "points": self.points()} for _ in range(choose([1, 2, 3]))]
        return self.with_optional(event, zip_code=zip_code, amount_cents=choose([None, None, 0, 1, 99, 105, 1999]), currency=choose([None, "USD"]), items=items)

    def user(self):
        choose = self.random.choice
        kind = choose(["user_created", "user_created", "user_updated", "user_deactivated"])
        user, user_kind = choose([(choose(CIVILIANS), "civilian"), (choose(OFFICERS), "police_officer"), *RECIPIENTS[:2], *PROVIDERS])
        event = self.envelope(kind) | {"user_id": user, "user_kind": user_kind}
        return self.with_optional(
            event, zip_code=choose(ZIP_CODES), display_name=choose(NAMES), organization_name=choose([None, "Food Bank", "food bank"]),
            referred_by=choose([None, *CIVILIANS[:3]]), status=choose([None, "active", "deactivated"]),
        )


def land(bluelake, folder, pieces):
    """Makes the lake in `folder` by Bluelake itself."""
    lake = folder / "lake"
    command(bluelake, lake, "lake", "init")
    for number, piece in enumerate(pieces):
        for stream in ["transaction-events", "user-events"]:
            events = [event for own, event in piece if own == stream]
            if events:
                path = folder / f"{number}-{stream}.ndjson"
                path.write_text("".join(json.dumps(event) + "\n" for event in events))
                brought = json.loads(command(bluelake, lake, "backfill", str(path), "--stream", stream, "--ahead-of-ingest", "--json"))
                if brought["stored"] != len(events):
                    raise RuntimeError(f"{len(events)} events were to be stored, but {brought}: the lakes are to be good by the contract")
    return lake


def variables():
    """The variables that Bluelake is started with: none of its own, as it refuses those that it does not know, such as CI's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BLUELAKE_")}


def command(bluelake, lake, *arguments):
    done = subprocess.run([bluelake, "--lake", str(lake), *arguments], capture_output=True, text=True, env=variables())
    if done.returncode:
        raise RuntimeError(f"bluelake {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def files(table):
    """The files of the newest version of a table, by the Delta log."""
    active = {}
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                active[action["add"]["path"]] = None
            if "remove" in action:
                active.pop(action["remove"]["path"], None)
    return [str(table / path) for path in active]


def schema(table):
    """The columns of a table by the Delta log, for DuckDB: for a table without files."""
    words = {"long": "BIGINT", "integer": "INTEGER", "double": "DOUBLE", "string": "VARCHAR", "date": "DATE", "timestamp": "TIMESTAMPTZ", "boolean": "BOOLEAN", "binary": "BLOB"}

    def word(kind):
        if isinstance(kind, str):
            return words[kind]
        if kind["type"] == "array":
            return word(kind["elementType"]) + "[]"
        return "STRUCT(" + ", ".join(f'"{part["name"]}" {word(part["type"])}' for part in kind["fields"]) + ")"

    for commit in sorted((table / "_delta_log").glob("*.json"), reverse=True):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "metaData" in action:
                fields = json.loads(action["metaData"]["schemaString"])["fields"]
                return {field["name"]: word(field["type"]) for field in fields}
    raise RuntimeError(f"{table} has no log")


def in_duckdb(lake, zone):
    """A DuckDB that holds the lake's rows, read from its Parquet files, and the views."""
    connection = duckdb.connect(config={"threads": 1, "memory_limit": "2GB"})
    connection.execute(f"SET TimeZone = '{zone}'")
    connection.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
    for table in TABLES:
        columns = schema(Path(lake) / table)
        shown = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f"CREATE TABLE {table} ({shown})")
        paths = files(Path(lake) / table)
        if paths:
            names = ", ".join(f'"{name}"' for name in columns)
            connection.execute(f"INSERT INTO {table} SELECT {names} FROM read_parquet({paths!r}, hive_partitioning = true, union_by_name = true)")
    for name, sql in view_definitions().items():
        connection.execute(f"CREATE TABLE {name} AS {sql}")
    return connection
