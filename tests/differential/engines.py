"""The three engines, each asked one statement after the other: rows, or why there are none."""

import decimal
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lakes import variables
from relations import RELATIONS

# What Bluelake prints after each statement; no row of newline-delimited JSON looks so.
MARK = "format is ndjson"
# Bluelake ends a statement itself after 20 s. One that has not come by now, on however busy a machine, never will: it is killed and told.
SECONDS_MAX = 180


@dataclass
class Answer:
    """Rows, or a message. `is_refusal`: the engine does not know the statement; otherwise a value could not be computed."""

    rows: list | None = None
    message: str = ""
    is_refusal: bool = False


class Bluelake:
    """`bluelake sql`, kept alive over statements. An error ends it, so a next one already waits."""

    def __init__(self, binary, lake, zone):
        self.command = [
            str(binary), "--lake", str(lake), "sql", "--format", "ndjson", "--time-zone", zone, "--time-limit", "20s", "--memory-limit", "1GiB",
        ]
        self.running, self.waiting, self.starts = self.start(), self.start(), 0

    def start(self):
        return subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=variables() | {"TZ": "UTC"},
        )

    def send(self, sql):
        """Begins a statement; the answer is fetched by `receive`."""
        try:
            self.running.stdin.write(f"{sql};\n\\format ndjson\n")
            self.running.stdin.flush()
        except BrokenPipeError:
            pass

    def receive(self, columns):
        watch = threading.Timer(SECONDS_MAX, self.running.kill)
        watch.start()
        try:
            return self.received(columns)
        finally:
            watch.cancel()

    def received(self, columns):
        lines = []
        while (line := self.running.stdout.readline()) and line.rstrip("\n") != MARK:
            lines.append(line)
        if line:
            return Answer(rows=[self.row(line, columns) for line in lines if line.strip()])
        _, message = self.running.communicate()
        status = self.running.returncode
        self.running, self.waiting = self.waiting, self.start()
        self.starts += 1
        if status != 1:
            message = f"PROCESS ENDED WITH {status}: {message}"
        return Answer(message=message.strip())

    @staticmethod
    def row(line, columns):
        row = json.loads(line, parse_float=decimal.Decimal)
        return [row.get(name) for name in columns]

    def ask(self, sql, columns):
        self.send(sql)
        return self.receive(columns)

    def close(self):
        for process in (self.running, self.waiting):
            process.kill()
            process.communicate()


class DuckDb:
    """A connection from `lakes.in_duckdb`. Stops a statement after a time, as a join may be larger than meant."""

    def __init__(self, connection, seconds=10):
        self.connection, self.seconds = connection, seconds

    def ask(self, sql):
        watch = threading.Timer(self.seconds, self.connection.interrupt)
        watch.start()
        try:
            return Answer(rows=self.connection.execute(sql).fetchall())
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.NotImplementedException, duckdb.InterruptException) as error:
            return Answer(message=f"{type(error).__name__}: {error}", is_refusal=True)
        except duckdb.Error as error:
            return Answer(message=f"{type(error).__name__}: {error}", is_refusal="Not implemented" in str(error))
        except (ValueError, OverflowError) as error:
            return Answer(message=f"Python cannot hold the value: {error}", is_refusal=True)
        finally:
            watch.cancel()


class Postgres:
    """A PostgreSQL of its own in a temporary folder, without a network; it decides who is right."""

    REFUSED = ("42", "0A", "57014")  # Syntax and names, not supported, taken too long.

    def __init__(self, zone):
        import psycopg

        self.psycopg = psycopg
        self.folder = Path(tempfile.mkdtemp(prefix="bluelake-differential-postgres-"))
        self.account = None
        if os.geteuid() == 0:
            self.account = pwd.getpwnam("postgres")
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        self.programs = self.found()
        data = self.folder / "data"
        self.run([self.program("initdb"), "-D", str(data), "-A", "trust", "-U", "reader", "--locale=C.UTF-8", "-E", "UTF8", "-N"])
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off -c statement_timeout=10s -c TimeZone={zone} -c shared_buffers=32MB"
        self.run([self.program("pg_ctl"), "-D", str(data), "-w", "-l", str(self.folder / "log"), "-o", options, "start"])
        self.connection = psycopg.connect(host=str(self.folder), user="reader", dbname="postgres", autocommit=True)
        self.lake = None

    @staticmethod
    def found():
        """Where its programs are; None without it."""
        if path := shutil.which("initdb"):
            return Path(path).resolve().parent
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        return places[-1].parent if places else None

    def program(self, name):
        return str(self.programs / name)

    def run(self, command):
        account = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder, **account)

    def load(self, connection):
        """Takes over the tables of a DuckDB."""
        words = {"text": "text", "int": "bigint", "date": "date", "moment": "timestamptz", "float": "double precision"}
        with self.connection.cursor() as cursor:
            for table, columns in RELATIONS.items():
                cursor.execute(f"DROP TABLE IF EXISTS {table}")
                cursor.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {words[kind]}' for name, kind in columns.items())})")
                rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
                with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)

    def ask(self, sql):
        try:
            return Answer(rows=[[self.value(value) for value in row] for row in self.connection.execute(sql).fetchall()])
        except self.psycopg.Error as error:
            code = error.sqlstate or ""
            return Answer(message=f"{code} {error}".strip(), is_refusal=code.startswith(self.REFUSED))

    @staticmethod
    def value(value):
        """What others compute as doubles PostgreSQL has as longer decimals."""
        if isinstance(value, decimal.Decimal) and value.is_finite() and -value.as_tuple().exponent > 12:
            return float(value)
        return value

    def close(self):
        self.connection.close()
        self.run([self.program("pg_ctl"), "-D", str(self.folder / "data"), "-m", "immediate", "stop"])
        shutil.rmtree(self.folder, ignore_errors=True)
