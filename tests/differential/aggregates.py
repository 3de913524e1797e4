"""Aggregates and windows of the grammar."""

from choices import part
from dialects import each, joined, quoted, say

FRAMES = [
    "", "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", "ROWS 2 PRECEDING",
    "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING", "ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING", "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING", "GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
]
# Rows that are equal by the order are one to these, so that no order without ties is needed.
PEER_FRAMES = ["", "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING", "GROUPS BETWEEN CURRENT ROW AND 1 FOLLOWING"]
DAY_FRAMES = ["RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW", "RANGE BETWEEN INTERVAL '2 days' PRECEDING AND INTERVAL '1 day' FOLLOWING"]


class Aggregates:
    """Makes aggregates over the rows of a source; `row_name` are columns that name one row, or None."""

    def __init__(self, choices, expressions, row_name):
        self.choices, self.expressions, self.row_name = choices, expressions, row_name

    @part
    def any(self):
        kind = self.choices.weighted([(50, "int"), (12, "text"), (10, "date"), (8, "moment"), (6, "bool"), (8, "decimal"), (8, "float"), (3, "list")])
        return self.of(kind), kind

    @part
    def of(self, kind):
        """An aggregate of a type, with a FILTER at times."""
        call = getattr(self, f"over_{kind}", self.extreme)(kind)
        if self.choices.chance(15):
            call = say("{} FILTER (WHERE {})", call, self.expressions.of("bool", 1))
        return call

    def extreme(self, kind):
        return say("{}({})", self.choices.pick(["max", "min"]), self.expressions.of(kind, 1))

    def over_int(self, kind):
        pick, of = self.choices.pick, self.expressions.of
        form = pick(["count all", "sum", "count", "max", "min", "distinct", "sum case", "sum distinct"])
        if form == "count all":
            return say("count(*)")
        if form == "distinct":
            return say("count(DISTINCT {})", of(pick(["text", "int", "date"]), 1))
        if form == "count":
            return say("count({})", of(pick(["text", "int", "date", "decimal"]), 1))
        if form == "sum case":
            return say("sum(CASE WHEN {} THEN 1 ELSE 0 END)", of("bool", 1))
        return say("sum(DISTINCT {})", of("int", 1)) if form == "sum distinct" else say("{}({})", form, of("int", 1))

    def over_text(self, kind):
        # The text of a number is each engine's own.
        if self.choices.chance(25) and any(own == "text" for _, own in self.expressions.columns):
            text = self.key("text")
            order = self.choices.pick(["", " DESC"])
            distinct = self.choices.pick(["", "DISTINCT "])
            return each(f"string_agg({distinct}{{0}}, '|' ORDER BY {{0}}{order})", f"string_agg({distinct}{{0}}, '|' ORDER BY {{0}}{order})", f"string_agg({distinct}{{0}}, '|' ORDER BY {{0}}{order})", text)
        return self.extreme(kind)

    def over_list(self, kind):
        value = self.key(self.choices.pick(["int", "text"]))
        return say("array_agg({0}{1} ORDER BY {1}{2})", self.choices.pick(["", "DISTINCT "]), value, self.choices.pick(["", " DESC"]))

    def over_bool(self, kind):
        return say("{}({})", self.choices.pick(["bool_or", "bool_and"]), self.expressions.of("bool", 1))

    def over_decimal(self, kind):
        if self.choices.chance(50):
            # DuckDB would give a sum of 38 digits, and cut what it is compared with to as many decimals as that has.
            return each("sum({})", "sum(CAST({} AS DECIMAL(38,6)))", "sum({})", self.expressions.of("decimal", 1))
        return self.extreme(kind)

    def over_float(self, kind):
        of, form = self.expressions.of, self.choices.pick(["avg", "median", "percentile", "stddev", "avg decimal", "avg float", "disc"])
        small = self.small()
        if form == "median":
            return each("median({})", "median({})", "percentile_cont(0.5) WITHIN GROUP (ORDER BY {})", of("int", 0))
        if form == "percentile":
            part = self.choices.pick(["0.5", "0.25", "0.9", "0", "1"])
            return say("percentile_cont({}) WITHIN GROUP (ORDER BY {})", part, of("int", 0))
        if form == "disc":
            return say("max({})", of("float", 0))
        if form == "stddev":
            name = self.choices.pick(["stddev", "stddev_pop", "var_pop", "var_samp"])
            return each(f"{name}({{}})", f"{name}({{}})", f"{name}({{}})", small)
        kinds = {"avg": "int", "avg decimal": "decimal", "avg float": "float"}
        return say("avg({})", of(kinds[form], 1))

    def small(self):
        """Numbers whose squares a double holds."""
        return say("least(length({}), 50)", self.expressions.of("text", 0))

    @part
    def window(self):
        """A function over a window, with its type. What depends on the order of ties gets an order without ties."""
        chance, pick, of = self.choices.chance, self.choices.pick, self.expressions.of
        form = self.choices.weighted([(25, "aggregate"), (20, "rank"), (20, "place"), (20, "value"), (15, "days")])
        partition = say("PARTITION BY {} ", of(pick(["text", "date", "int"]), 0)) if chance(60) else say("")
        key_kind = pick(["date", "int", "text", "moment"])
        key, order = self.key(key_kind), say(pick(["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]))
        by = say("{}{}", key, order)
        if form == "rank":
            name = pick(["rank()", "dense_rank()", "count(*)", "percent_rank()", "cume_dist()"])
            kind = "float" if name in ("percent_rank()", "cume_dist()") else "int"
            return say("{} OVER ({}ORDER BY {})", name, partition, by), kind
        if form == "days":
            return self.day_window(partition)
        if form == "aggregate" or self.row_name is None:
            call, kind = self.plain_aggregate()
            frame = pick(PEER_FRAMES)
            if not frame and chance(40):
                return say("{} OVER ({})", call, partition), kind
            return say("{} OVER ({}ORDER BY {} {})", call, partition, by, frame), kind
        by = joined(", ", [by, *self.row_name])
        if form == "place":
            call, kind = self.plain_aggregate() if chance(50) else (say(pick(["row_number()", "ntile(3)", "ntile(2)"])), "int")
            frame = say("") if "()" in call.blue or "ntile" in call.blue else say(pick(FRAMES))
            return say("{} OVER ({}ORDER BY {} {})", call, partition, by, frame), kind
        return self.value_window(partition, by)

    def key(self, kind):
        """A column to order by, of the type if there is one: a literal would be no order."""
        columns = self.expressions.columns
        return self.choices.pick([column for column, own in columns if own == kind] or [column for column, _ in columns])

    @part
    def plain_aggregate(self):
        pick, of = self.choices.pick, self.expressions.of
        name = pick(["sum", "count", "max", "min", "avg"])
        call = say("{}({})", name, of("int", 0))
        if self.choices.chance(15):
            call = say("{} FILTER (WHERE {})", call, of("bool", 0))
        return call, "float" if name == "avg" else "int"

    def day_window(self, partition):
        days = self.key("moment")
        call, kind = self.plain_aggregate()
        return say("{} OVER ({}ORDER BY {} {})", call, partition, days, self.choices.pick(DAY_FRAMES)), kind

    def value_window(self, partition, by):
        """lag, lead, first, last and n-th values, with and without IGNORE NULLS, which PostgreSQL 15 lacks."""
        pick, chance = self.choices.pick, self.choices.chance
        kind = pick(["int", "text", "date"])
        value, name = self.expressions.of(kind, 0), pick(["lag", "lead", "first_value", "last_value", "nth_value"])
        more = {"lag": pick(["", ", 1", ", 2", ", 0"]), "lead": pick(["", ", 1", ", 3"]), "nth_value": pick([", 1", ", 2"])}.get(name, "")
        if more and name != "nth_value" and chance(30):
            more += ", " + {"int": "CAST(-1 AS BIGINT)", "text": quoted("none"), "date": "DATE '2000-01-01'"}[kind]
        frame = "" if name in ("lag", "lead") else pick(FRAMES)
        over = say("OVER ({}ORDER BY {} {})", partition, by, frame)
        if chance(35):
            return each(f"{name}({{}}{more}) IGNORE NULLS {{}}", f"{name}({{}}{more} IGNORE NULLS) {{}}", None, value, over), kind
        return say(f"{name}({{}}{more}) {{}}", value, over), kind
