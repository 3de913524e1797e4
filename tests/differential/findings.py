"""What was found, by kind, and what is allowed to differ."""

import re
import tomllib
from dataclasses import dataclass, field

from relations import RELATIONS

NAMES = {name for name in RELATIONS} | {column for columns in RELATIONS.values() for column in columns}


@dataclass
class Allowed:
    """A difference that may stand, by a pattern over the smallest statement that shows it."""

    name: str
    pattern: re.Pattern
    reason: str
    issue: str = ""
    kind: str = ""
    seen: int = 0


def read_allowed(path):
    """The list in `allowed.toml`; an entry without a reason is a fault."""
    entries = tomllib.loads(path.read_text()).get("allowed", [])
    for entry in entries:
        unknown = set(entry) - {"name", "pattern", "reason", "issue", "kind"}
        if unknown or not entry.get("reason") or not entry.get("pattern") or not entry.get("name"):
            raise ValueError(f"{path}: an entry needs name, pattern and reason, and may have issue and kind: {entry}")
    return [Allowed(**(entry | {"pattern": re.compile(entry["pattern"], re.IGNORECASE)})) for entry in entries]


def allowing(allowed, sql, kind):
    """The entry that allows a difference, or None."""
    for entry in allowed:
        if entry.pattern.search(sql) and (not entry.kind or re.fullmatch(entry.kind, kind)):
            return entry
    return None


def shape(sql):
    """A statement without its names and values: what two findings of one kind share."""
    sql = re.sub(r"'(?:[^']|'')*'", "S", sql)
    sql = re.sub(r"\b[a-z]\d+\b", "n", sql)
    sql = re.sub(r"-?\b\d[\d.]*\b", "N", sql)
    sql = re.sub(r"[a-z_]+", lambda match: "n" if match[0] in NAMES else match[0], sql)
    return re.sub(r"\bn\.n\b", "n", sql)


@dataclass
class Finding:
    """One kind of difference with its smallest statement."""

    kind: str
    statement: object
    detail: str
    postgres: str
    place: str
    rows: list | None = None
    seen: int = 1


@dataclass
class Findings:
    """All kinds of a run."""

    kinds: dict = field(default_factory=dict)

    def add(self, finding):
        """Whether the kind is new."""
        key = (finding.kind, shape(finding.statement.sql.blue))
        if key in self.kinds:
            self.kinds[key].seen += 1
            return False
        self.kinds[key] = finding
        return True

    def has(self, kind, sql):
        return (kind, shape(sql)) in self.kinds


def described(finding):
    """A finding as text."""
    lines = [f"DIFFERENCE: {finding.kind}", f"  {finding.detail}", f"  PostgreSQL: {finding.postgres or 'not asked'}", f"  Bluelake:   {finding.statement.sql.blue}"]
    if finding.statement.sql.duck != finding.statement.sql.blue:
        lines.append(f"  DuckDB:     {finding.statement.sql.duck}")
    if finding.statement.sql.post not in (None, finding.statement.sql.blue):
        lines.append(f"  PostgreSQL: {finding.statement.sql.post}")
    lines.append(f"  again:      tests/differential/run --repeat '{finding.place}'")
    if finding.rows is not None:
        lines.append(f"  rows:       {len(finding.rows)} events are enough")
        lines += [f"    {stream} {event}" for stream, event in finding.rows[:10]]
    return "\n".join(lines)
