"""Parses statements as those of Redshift: a list in JSON on standard input. Prints each that cannot be parsed, and ends with 1."""

import json
import logging
import sys

import sqlglot
from sqlglot import exp

# It warns of what it does not parse, which is judged here.
logging.disable(logging.WARNING)


def fault(statement):
    try:
        parsed = sqlglot.parse(statement, read="redshift")
    except sqlglot.errors.SqlglotError as error:
        return str(error).splitlines()[0]
    if len(parsed) != 1:
        return f"{len(parsed)} statements in one"
    # What it has no grammar for it keeps as a command; of these only LOCK is expected.
    if isinstance(parsed[0], exp.Command) and parsed[0].this.upper() != "LOCK":
        return "no statement that it knows"
    return None


statements = json.load(sys.stdin)
faults = [(statement, fault(statement)) for statement in statements]
for statement, said in faults:
    if said:
        print(f"{said}: {statement}")
sys.exit(1 if any(said for _, said in faults) else 0)
