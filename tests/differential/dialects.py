"""One piece of SQL in the words of three engines.

`blue` is what Bluelake is asked; `duck` and `post` must mean the same in DuckDB and PostgreSQL, by PostgreSQL's meaning of
what was asked. `post` is None where PostgreSQL 15 has no words for it.
"""

from typing import NamedTuple


class Sql(NamedTuple):
    blue: str
    duck: str
    post: str | None


def say(form, *parts):
    """The same form in all of them; `{}` stands for a part, which is an Sql or a text."""
    return each(form, form, form, *parts)


def each(blue, duck, post, *parts):
    """A form for each engine."""
    parts = [part if isinstance(part, Sql) else Sql(part, part, part) for part in parts]
    missing = post is None or any(part.post is None for part in parts)
    return Sql(
        blue.format(*(part.blue for part in parts)),
        duck.format(*(part.duck for part in parts)),
        None if missing else post.format(*(part.post for part in parts)),
    )


def joined(separator, parts):
    """Parts with a separator between them."""
    return say(separator.join("{}" for _ in parts), *parts)


def quoted(text):
    """A text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def integer(value):
    """A whole number. Bluelake reads all as 64 bits, the others small ones as 32."""
    wide = f"CAST({value} AS BIGINT)" if value >= -(2**63 - 1) else f"CAST('{value}' AS BIGINT)"
    return Sql(str(value) if value >= 0 else f"({value})", wide, wide)
