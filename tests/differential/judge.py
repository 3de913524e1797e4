"""One statement before all engines: the same, refused, or a difference, with PostgreSQL's word on who is right."""

import re
from dataclasses import dataclass

from compare import difference
from engines import Bluelake, DuckDb
from lakes import in_duckdb

SAME, REFUSED, UNASKED, DIFFERENT = "same", "refused", "not compared", "different"


@dataclass
class Outcome:
    """What became of a statement. `kind` is what sort of difference, or the kind of message of a refusal."""

    state: str
    kind: str = ""
    detail: str = ""
    postgres: str = ""


class Trial:
    """A lake, opened by Bluelake and held by DuckDB, and PostgreSQL if there is one."""

    def __init__(self, binary, lake, zone, postgres=None):
        self.lake, self.zone, self.postgres = lake, zone, postgres
        self.connection = in_duckdb(lake, zone)
        self.duckdb = DuckDb(self.connection)
        self.bluelake = Bluelake(binary, lake, zone)
        self.is_in_postgres = False

    def close(self):
        self.bluelake.close()
        self.connection.close()

    def judge(self, statement):
        """Asks Bluelake and DuckDB at once, and PostgreSQL when they do not agree."""
        names = [name for name, _ in statement.columns]
        self.bluelake.send(statement.sql.blue)
        theirs = self.duckdb.ask(statement.sql.duck)
        ours = self.bluelake.receive(names)
        if ours.rows is None:
            is_crash = "PROCESS ENDED" in ours.message or "panicked" in ours.message
            return Outcome(DIFFERENT, "crash", ours.message) if is_crash else Outcome(REFUSED, message_kind(ours.message), ours.message)
        if theirs.rows is not None:
            gap = difference(ours.rows, theirs.rows, statement.ordered_by)
            if gap is None:
                return Outcome(SAME)
            return self.appeal(statement, ours, "other rows", f"Bluelake has {gap}")
        if theirs.is_refusal:
            return self.appeal(statement, ours, None, theirs.message)
        return self.appeal(statement, ours, "answers where DuckDB fails", f"Bluelake gives {ours.rows[:2]!r}; {theirs.message}")

    def appeal(self, statement, ours, kind, detail):
        """PostgreSQL's word. Without it DuckDB's stands; a statement that neither knows is not compared."""
        answer = self.ask_postgres(statement.sql.post)
        if answer is None or answer.rows is None and answer.is_refusal:
            word = "not asked" if answer is None else f"refuses it ({answer.message.splitlines()[0]})"
            return Outcome(DIFFERENT, kind, detail, word) if kind else Outcome(UNASKED, message_kind(detail), detail)
        if answer.rows is None:
            message = answer.message.splitlines()[0]
            if kind == "other rows":
                # The engines may compute in another order and so meet the failure or not: DuckDB's rows are the second opinion.
                return Outcome(DIFFERENT, kind, detail, f"fails ({message})")
            return Outcome(DIFFERENT, kind or "answers where PostgreSQL fails", detail, f"fails too ({message})")
        gap = difference(ours.rows, answer.rows, statement.ordered_by)
        if gap is None:
            return Outcome(SAME, "PostgreSQL agrees with Bluelake" if kind else "")
        return Outcome(DIFFERENT, kind or "other rows", detail if kind else f"Bluelake has {gap}", f"against PostgreSQL, Bluelake has {gap}")

    def ask_postgres(self, sql):
        if self.postgres is None or sql is None:
            return None
        if self.postgres.lake is not self:
            self.postgres.load(self.connection)
            self.postgres.connection.execute(f"SET TimeZone = '{self.zone}'")
            self.postgres.lake = self
        return self.postgres.ask(sql)


def message_kind(message):
    """A message without what differs from statement to statement."""
    lines = [line.strip().removeprefix("caused by: ") for line in message.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("error: standard input", "the query failed", "the query cannot be planned"))]
    line = lines[0] if lines else message
    line = re.sub(r"'([a-z_]+)'", r"\1", line) if "function" in line else line
    line = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "…", line)
    return re.sub(r"\b[a-z]\d+\b|-?\d[\d.e+-]*", "N", line)[:140]
