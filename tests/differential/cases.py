"""Cases for the test of the optimizer's rules (queries/src/session/query_session/rules.rs): a lake, its events, and statements that are right."""

import json

import judge
from choices import Choices
from judge import Trial
from lakes import Events, land
from statements import make

# Longer statements say little more, and every rule is tried on each.
STATEMENT_BYTES_MAX = 700


def write_cases(binary, folder, count, seed):
    """Writes `lake`, `events.ndjson` and `statements.sql` with so many statements to which all engines give the same rows."""
    folder.mkdir(parents=True, exist_ok=True)
    events = Events(f"cases {seed}")
    events.far = 0
    pieces = events.pieces(transactions=90, users=40)
    trial = Trial(binary, land(binary, folder, pieces), "UTC")
    statements, number = [], 0
    try:
        while len(statements) < count:
            number += 1
            statement = make(Choices(f"cases {seed} {number}"))
            is_short = len(statement.sql.blue) <= STATEMENT_BYTES_MAX
            if is_short and says_something(trial, statement) and trial.judge(statement).state == judge.SAME:
                statements.append(statement.sql.blue)
    finally:
        trial.close()
    (folder / "events.ndjson").write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for piece in pieces for _, event in piece))
    (folder / "statements.sql").write_text("".join(statement + "\n" for statement in statements))


def says_something(trial, statement):
    """Whether a statement joins, groups, numbers or filters, and gives rows, but not too many."""
    words = ["WHERE", "JOIN", "GROUP BY", "OVER", "UNION", "EXCEPT", "INTERSECT", "DISTINCT", "LIMIT"]
    if sum(word in statement.sql.blue for word in words) < 2:
        return False
    answer = trial.duckdb.ask(statement.sql.duck)
    return answer.rows is not None and 0 < len(answer.rows) <= 200
