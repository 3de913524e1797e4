"""Whole statements of the grammar: where rows come from, how they are grouped, numbered, combined, ordered and cut."""

from dataclasses import dataclass, field

from aggregates import Aggregates
from choices import part
from dialects import Sql, each, integer, joined, say
from expressions import Expressions
from relations import RELATIONS, ROW_NAMES

# Doubles differ in the last digit from engine to engine: no key is made of them.
KEYS = ["int", "text", "date", "moment", "bool", "decimal"]


@dataclass
class Statement:
    """What is asked, and the columns of the result by which its rows come in order."""

    sql: Sql
    columns: list
    ordered_by: list = field(default_factory=list)


@dataclass
class Source:
    """Something after FROM: its text, its columns, and what names one of its rows, if that is known."""

    sql: Sql
    columns: list
    row_name: list | None = None


class Grammar:
    """Makes one statement out of decisions."""

    def __init__(self, choices):
        self.choices = choices
        self.names = 0
        self.with_parts = []
        self.common = []
        self.is_recursive = False

    def statement(self):
        """The whole: common tables, a query, its order and its limit."""
        for _ in range(self.choices.weighted([(75, 0), (20, 1), (5, 2)])):
            self.common_table()
        sql, columns = self.query(2)
        if self.with_parts:
            sql = say("WITH {}{} {}", "RECURSIVE " if self.is_recursive else "", joined(", ", self.with_parts), sql)
        if not self.choices.chance(45):
            return Statement(sql, columns)
        return self.in_order(sql, columns)

    @part
    def common_table(self):
        """WITH, before the query that may use it."""
        name = self.name("w")
        if self.choices.chance(6):
            self.is_recursive = True
            most = self.choices.pick(["3", "10", "0"])
            self.with_parts.append(each(*[form.format(name, most) for form in [
                "{0}(c0) AS (SELECT 1 UNION ALL SELECT {0}.c0 + 1 FROM {0} WHERE {0}.c0 < {1})",
                "{0}(c0) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT {0}.c0 + 1 FROM {0} WHERE {0}.c0 < {1})",
                "{0}(c0) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT {0}.c0 + 1 FROM {0} WHERE {0}.c0 < {1})",
            ]]))
            self.common.append((name, [("c0", "int")]))
            return
        sql, columns = self.query(1)
        kept = self.choices.pick(["", "MATERIALIZED "]) if self.choices.chance(15) else ""
        self.with_parts.append(each("{0} AS ({2})", "{0} AS {1}({2})", "{0} AS {1}({2})", name, kept, sql))
        self.common.append((name, columns))

    @part
    def in_order(self, sql, columns):
        """ORDER BY some columns; by all of them, so that no tie is left, before a LIMIT."""
        pick, chance = self.choices.pick, self.choices.chance
        places = list(range(len(columns)))
        is_cut = chance(50) and all(kind in KEYS for _, kind in columns)
        if not is_cut:
            places = places[: 1 + self.choices.below(len(places))]
        if len(places) > 1 and chance(40):
            places.reverse()
        keys = []
        for place in places:
            direction, nulls = pick(["", " DESC", " ASC"]), pick(["", " NULLS FIRST", " NULLS LAST"])
            name = pick([str(place + 1), columns[place][0]])
            keys.append(say("{}{}{}", name, direction, nulls))
        sql = say("{} ORDER BY {}", sql, joined(", ", keys))
        if is_cut:
            sql = say("{} LIMIT {}", sql, str(pick([1, 5, 0, 3, 20])))
            if chance(30):
                sql = say("{} OFFSET {}", sql, str(pick([1, 2, 0, 7])))
        return Statement(sql, columns, places)

    def name(self, letter):
        self.names += 1
        return f"{letter}{self.names}"

    # What gives rows

    @part
    def query(self, depth):
        """A SELECT or a set operation, with the names and types of its columns."""
        if depth > 0 and self.choices.chance(12):
            return self.set_operation(depth)
        return self.select(depth, None)

    @part
    def set_operation(self, depth):
        kinds = [self.choices.pick(["text", "int", "date"]) for _ in range(1 + self.choices.below(2))]
        word = self.choices.pick(["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"])
        left, columns = self.select(depth - 1, kinds)
        right, _ = self.select(depth - 1, kinds)
        sql = say("{} {} {}", left, word, right)
        if self.choices.chance(15):
            third, _ = self.select(depth - 1, kinds)
            sql = say("{} {} {}", sql, self.choices.pick(["UNION ALL", "EXCEPT", "UNION", "EXCEPT ALL"]), third)
        if self.choices.chance(40):
            inner = self.name("s")
            named = joined(", ", [say("{}.{}", inner, name) for name, _ in columns])
            sql = say("SELECT {} FROM ({}) AS {}", named, sql, inner)
        return sql, columns

    @part
    def select(self, depth, kinds):
        """One SELECT; with columns of given types, or of its own choice."""
        chance = self.choices.chance
        source = self.source(depth)
        expressions = Expressions(self.choices, source.columns, self.condition_maker(depth, source), self.number_maker(depth, source))
        where = say(" WHERE {}", expressions.of("bool", 2)) if chance(50) else say("")
        if chance(40):
            return self.grouped(source, expressions, where, kinds)
        if chance(25) and kinds is None:
            return self.numbered(source, expressions, where)
        if chance(4) and kinds is None and any(kind in KEYS for _, kind in source.columns):
            return self.first_of_each(source, where)
        if kinds is None:
            items = [expressions.any(2) for _ in range(1 + self.choices.below(4))]
        else:
            items = [(expressions.of(kind, 2), kind) for kind in kinds]
        distinct = say("DISTINCT " if chance(12) and all(kind in KEYS for _, kind in items) else "")
        return self.listed(say("SELECT {}", distinct), items, say(" FROM {}{}", source.sql, where))

    @part
    def first_of_each(self, source, where):
        """DISTINCT ON one column, in an order of all that are shown."""
        keys = [(column, kind) for column, kind in source.columns if kind in KEYS]
        items = [self.choices.pick(keys) for _ in range(2 + self.choices.below(2))]
        order = joined(", ", [say("{}{}", item, self.choices.pick(["", " DESC"])) for item, _ in items])
        sql, columns = self.listed(say("SELECT DISTINCT ON ({}) ", items[0][0]), items, say(" FROM {}{} ORDER BY {}", source.sql, where, order))
        inner = self.name("s")
        return say("SELECT {} FROM ({}) AS {}", ", ".join(f"{inner}.{name}" for name, _ in columns), sql, inner), columns

    def listed(self, head, items, tail):
        """The items as columns c0, c1, … between what comes before and after them."""
        shown = joined(", ", [say("{} AS c{}", item, str(place)) for place, (item, _) in enumerate(items)])
        return say("{}{}{}", head, shown, tail), [(f"c{place}", kind) for place, (_, kind) in enumerate(items)]

    # FROM

    @part
    def source(self, depth):
        form = self.choices.weighted([(50, "table"), (28, "join"), (12, "query"), (5, "common"), (5, "values")])
        if form == "join" and depth > 0:
            return self.join(depth - 1)
        return self.single(form, depth)

    @part
    def single(self, form, depth):
        """A table, a query in brackets, a common table or a list of values, under a name of its own."""
        if form == "common" and self.common:
            name, columns = self.choices.pick(self.common)
            return self.known_as(say(name), columns)
        if form == "query" and depth > 0:
            sql, columns = self.query(depth - 1)
            return self.known_as(say("({})", sql), columns)
        if form == "values":
            return self.values()
        table = self.choices.pick(list(RELATIONS))
        source = self.known_as(say(table), list(RELATIONS[table].items()))
        alias = source.columns[0][0].blue.split(".")[0]
        source.row_name = [say("{}.{}", alias, column) for column in ROW_NAMES[table]]
        return source

    def known_as(self, sql, columns):
        alias = self.name("t")
        return Source(say("{} AS {}", sql, alias), [(say("{}.{}", alias, name), kind) for name, kind in columns])

    @part
    def values(self):
        """Rows without a table: what a fault of the engine itself is shrunk to."""
        alias = self.name("v")
        kinds = [self.choices.pick(["int", "text", "date"]) for _ in range(1 + self.choices.below(2))]
        plain = Expressions(self.choices, [])
        rows = [joined(", ", [plain.literal(kind) for kind in kinds]) for _ in range(1 + self.choices.below(4))]
        names = [f"k{place}" for place in range(len(kinds))]
        sql = say("(VALUES {}) AS {}({})", joined(", ", [say("({})", row) for row in rows]), alias, ", ".join(names))
        return Source(sql, [(say("{}.{}", alias, name), kind) for name, kind in zip(names, kinds)])

    @part
    def join(self, depth):
        """Two sources beside each other, or one beside those that have or lack a partner."""
        pick, chance = self.choices.pick, self.choices.chance
        left = self.single(self.choices.weighted([(60, "table"), (30, "query"), (10, "values")]), depth)
        form = self.choices.weighted([(60, "on"), (25, "using"), (6, "natural"), (5, "cross"), (4, "lateral")])
        word = pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        if form in ("using", "natural"):
            return self.join_using(left, word, form, depth)
        right = self.single(self.choices.weighted([(60, "table"), (30, "query"), (10, "values")]), depth)
        if form == "lateral":
            return self.lateral(left)
        if form == "cross":
            right = self.known_as(self.few(right), [("k", "int")])
            return Source(say("{} CROSS JOIN {}", left.sql, right.sql), left.columns + right.columns)
        kind = pick(["text", "date"])
        condition = self.equality(left, right, kind)
        both = left.columns + right.columns
        if chance(30):
            extra = Expressions(self.choices, both).of("bool", 1)
            condition = say("{} AND {}", condition, extra)
        return Source(say("{} {} {} ON {}", left.sql, word, right.sql, condition), both)

    @part
    def equality(self, left, right, kind):
        """Something of the one side equal to something of the other; ids rather than words that all rows share."""
        sides = []
        for side in (left, right):
            fitting = [column for column, own in side.columns if own == kind]
            sides.append(self.choices.pick(fitting) if fitting else Expressions(self.choices, []).literal(kind))
        return say("{} = {}", *sides)

    @part
    def few(self, source):
        """A query of one row over a source, so that a cross join stays small."""
        integers = [column for column, kind in source.columns if kind == "int"] or [integer(1)]
        return say("(SELECT {}({}) AS k FROM {})", self.choices.pick(["max", "min", "count"]), self.choices.pick(integers), source.sql)

    def join_using(self, left, word, form, depth):
        """USING and NATURAL, over queries that share the names of their keys."""
        count = 1 + self.choices.below(2)
        kinds = [self.choices.pick(["date", "text", "int"]) for _ in range(count)]
        keys = [f"k{place}" for place in range(count)]
        sides, columns = [], [(say(key), kind) for key, kind in zip(keys, kinds)]
        for letter in ("a", "b"):
            source = left if letter == "a" else self.single("table", depth)
            expressions = Expressions(self.choices, source.columns)
            shown = joined(", ", [say("{} AS {}", expressions.of(kind, 0), key) for key, kind in zip(keys, kinds)])
            value, kind = expressions.of("int", 0), "int"
            grouped = self.choices.chance(40)
            extra = say("count(*)") if grouped else value
            tail = say(" GROUP BY {}", ", ".join(str(place + 1) for place in range(count))) if grouped else say("")
            alias = self.name("t")
            sides.append(say(f"(SELECT {{}}, {{}} AS {letter} FROM {{}}{{}}) AS {alias}", shown, extra, source.sql, tail))
            columns.append((say(f"{alias}.{letter}"), kind))
        if form == "natural":
            return Source(say("{} NATURAL {} {}", sides[0], word, sides[1]), columns)
        return Source(say("{} {} {} USING ({})", sides[0], word, sides[1], ", ".join(keys)), columns)

    @part
    def lateral(self, left):
        """For each row of the one, an aggregate over those of the other that belong to it."""
        table = self.choices.pick(list(RELATIONS))
        inner = self.known_as(say(table), list(RELATIONS[table].items()))
        condition = self.equality(left, inner, "text")
        alias = self.name("t")
        what = say("count(*)") if self.choices.chance(50) else say("max({})", Expressions(self.choices, inner.columns).of("int", 0))
        sql = say("{} CROSS JOIN LATERAL (SELECT {} AS k FROM {} WHERE {}) AS {}", left.sql, what, inner.sql, condition, alias)
        return Source(sql, left.columns + [(say("{}.k", alias), "int")])

    # GROUP BY, OVER

    @part
    def grouped(self, source, expressions, where, kinds):
        """Aggregates, with and without keys, sets of keys and HAVING."""
        aggregates = Aggregates(self.choices, expressions, source.row_name)
        if kinds is not None:
            items = [(aggregates.of(kind), kind) for kind in kinds]
            return self.listed(say("SELECT "), items, say(" FROM {}{}", source.sql, where))
        keys = [(expressions.of(kind, 1), kind) for kind in (self.choices.pick(KEYS) for _ in range(self.choices.below(3)))]
        items = keys + [aggregates.any() for _ in range(1 + self.choices.below(3))]
        tail = say(" FROM {}{}", source.sql, where)
        if keys and keys[0][0] in [column for column, _ in source.columns] and self.choices.chance(12):
            items.append((say("sum({}) OVER (ORDER BY {})", aggregates.of("int"), keys[0][0]), "int"))
        if keys:
            tail = say("{} GROUP BY {}", tail, self.group_keys(keys, items))
        if self.choices.chance(20):
            tail = say("{} HAVING {} {} {}", tail, aggregates.of("int"), self.choices.pick([">", "=", "<>", "<"]), integer(self.choices.pick([1, 0, 2, 10])))
        return self.listed(say("SELECT "), items, tail)

    @part
    def group_keys(self, keys, items):
        """Plain keys by place, or several sets of them."""
        places = [str(place + 1) for place in range(len(keys))]
        is_plain = [column.blue.replace(".", "").replace("_", "").isalnum() and "." in column.blue for column, _ in keys]
        form = self.choices.weighted([(75, "plain"), (8, "rollup"), (8, "cube"), (9, "sets")])
        if form == "plain" or not all(is_plain) or len({column.blue for column, _ in keys}) < len(keys):
            return say(", ".join(places))
        texts = joined(", ", [column for column, _ in keys])
        if self.choices.chance(40):
            items.append((say("grouping({})", keys[0][0]), "int"))
        if form == "sets":
            more = self.choices.pick(["", ", ()", ", ({})"])
            return say(f"GROUPING SETS (({{}}){more})", texts, keys[-1][0]) if "{}" in more else say(f"GROUPING SETS (({{}}){more})", texts)
        return say(f"{form.upper()} ({{}})", texts)

    @part
    def numbered(self, source, expressions, where):
        """Rows with what windows say of them."""
        aggregates = Aggregates(self.choices, expressions, source.row_name)
        items = [expressions.any(1) for _ in range(1 + self.choices.below(2))]
        windows = [aggregates.window() for _ in range(1 + self.choices.below(2))]
        tail = say(" FROM {}{}", source.sql, where)
        if self.choices.chance(8) and windows[0][1] == "int":
            tail = Sql(*(text and f"{text} QUALIFY {window} < 3" for text, window in zip((tail.blue, tail.duck, tail.post), (windows[0][0].blue, windows[0][0].duck, ""))))
            tail = tail._replace(post=None)
        return self.listed(say("SELECT "), items + windows, tail)

    # Other tables inside of expressions

    def condition_maker(self, depth, outer):
        """What makes IN, EXISTS and comparisons with a subquery, with and without a reference to the outer row."""
        def make(expressions, deeper):
            form = self.choices.pick(["in", "exists", "scalar", "quantified"])
            if depth <= 0 or deeper < 0:
                return expressions.literal("bool")
            if form == "scalar":
                return say("({} {} {})", expressions.of("int", 0), self.choices.pick(["=", "<", ">", "<>"]), self.number_maker(depth, outer)(expressions, deeper))
            inner, own, tail = self.inside(outer)
            kind = self.choices.pick(["text", "int", "date"])
            if form == "exists":
                shown, cut = self.choices.pick(["1", "1", "count(*)", "max(1)"]), self.choices.pick(["", "", "", " LIMIT 1", " OFFSET 1"])
                return say("({}EXISTS (SELECT {}{}{}))", self.choices.pick(["", "NOT "]), shown, tail, cut)
            if form == "in":
                return say("({} {}IN (SELECT {}{}))", expressions.of(kind, 0), self.choices.pick(["", "NOT "]), own.of(kind, 0), tail)
            comparison, word = self.choices.pick(["=", "<", ">", "<>"]), self.choices.pick(["ANY", "ALL"])
            return say("({} {} {} (SELECT {}{}))", expressions.of(kind, 0), comparison, word, own.of(kind, 0), tail)
        return make

    def number_maker(self, depth, outer):
        """What makes an aggregate over another table, as a number of the outer row."""
        def make(expressions, deeper):
            if depth <= 0 or deeper < 0:
                return expressions.literal("int")
            _, own, tail = self.inside(outer)
            return say("(SELECT {}{})", Aggregates(self.choices, own, None).of("int"), tail)
        return make

    @part
    def inside(self, outer):
        """A table with its expressions and its FROM and WHERE."""
        inner = self.single("values" if self.choices.chance(15) else "table", 0)
        own = Expressions(self.choices, inner.columns)
        tail = say(" FROM {}", inner.sql)
        conditions = [own.of("bool", 1)] if self.choices.chance(40) else []
        if self.choices.chance(50):
            conditions.append(self.equality(inner, outer, self.choices.pick(["text", "date"])))
        return inner, own, say("{} WHERE {}", tail, joined(" AND ", conditions)) if conditions else tail


def make(choices):
    """The statement that the decisions stand for."""
    return Grammar(choices).statement()
