"""Expressions of the grammar, by type: what analysts write over one row."""

from choices import part
from dialects import each, integer, joined, quoted, say

TYPES = ["int", "text", "date", "moment", "bool", "decimal", "float"]
INTEGERS = [1, 0, 2, 3, 7, 10, 100, -1, 5, 1000, 2147483647, 2147483648, 10**12, 10**16, 9223372036854775807]
TEXTS = ["a", "", "civ-1", "off-1", "civ-2", "%", "10001", "mobile", "o'hara", "é", "A b", "_", "ab", "b\\a"]
LIKES = ["%", "civ%", "%1", "%-_", "_%", "C%", "%a%", "", "o''h%", "%\\%%", "civ\\_1", "a_%", "%é%"]
# SIMILAR TO, and the same as a whole match of a regular expression.
SIMILARS = [
    ("civ%", "civ.*"), ("(civ|off)-_", "(civ|off)-."), ("%[0-9]", ".*[0-9]"), ("[a-m]%", "[a-m].*"), ("_+", ".+"),
    ("civ-1|off-1", "civ-1|off-1"), ("a", "a"), ("%", ".*"), ("c.v%", "c\\.v.*"), ("[^c]%", "[^c].*"), ("_{3,5}", ".{3,5}"),
]
REGEXES = ["civ", "^c", "1$", "[0-9]+", "^$", "(civ|off)-[0-9]", "^.{3,5}$", "A", "o.h", "\\\\"]
ZONES = ["UTC", "America/Chicago", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"]
DATES = ["2026-11-05", "2026-11-01", "2020-01-01", "2024-02-29", "2026-12-31", "1999-12-31", "2026-03-08"]
MOMENTS = ["2026-11-05T12:00:00Z", "2026-11-01T00:00:00Z", "2020-01-01T00:00:00Z", "2026-11-01T05:59:59.999999Z"]
PARTS = ["day", "month", "year", "hour", "minute", "quarter", "week", "dow", "isodow", "doy", "isoyear"]
UNITS = ["day", "month", "year", "hour", "week", "quarter", "minute", "second"]
STEPS = ["1 day", "1 month", "12 hours", "1 week", "90 minutes", "1 year", "-1 day", "1 month 1 day"]
COMPARISONS = ["=", "<", ">", "<=", ">=", "<>"]


class Expressions:
    """Makes expressions over columns, which are (Sql, type) pairs.

    `subquery` and `scalar`, if given, make conditions on other tables and numbers of them.
    """

    def __init__(self, choices, columns, subquery=None, scalar=None):
        self.choices, self.columns, self.subquery, self.scalar = choices, columns, subquery, scalar

    @part
    def any(self, depth):
        """An expression of any type, with its type."""
        kind = self.choices.weighted([(30, "int"), (20, "text"), (12, "date"), (12, "moment"), (8, "bool"), (10, "decimal"), (8, "float")])
        return self.of(kind, depth), kind

    @part
    def of(self, kind, depth):
        """An expression of a type: a column, a literal, or something made of others."""
        form = self.choices.weighted([(55, "column"), (6, "literal"), (39, "made")])
        if form == "made" and depth > 0:
            return getattr(self, f"made_{kind}")(depth - 1)
        if form == "column":
            fitting = [column for column, own in self.columns if own == kind]
            if fitting:
                return self.choices.pick(fitting)
        return self.derived(kind) if form == "column" else self.literal(kind)

    def derived(self, kind):
        """From a column of another type, where there is none of this one."""
        forms = {
            "bool": [("int", "({} > 5)"), ("text", "({} LIKE 'c%')"), ("date", "({} > DATE '2026-01-01')")],
            "decimal": [("int", "CAST({} AS DECIMAL(18,2))")], "float": [("int", "CAST({} AS DOUBLE PRECISION)")],
            "date": [("moment", "CAST({} AS DATE)")], "int": [("text", "length({})"), ("date", "extract(month FROM {})")], "text": [("int", "CAST({} AS VARCHAR)")],
        }.get(kind, [])
        fitting = [(form, column) for own, form in forms for column, other in self.columns if other == own]
        if not fitting:
            return self.literal(kind)
        form, column = self.choices.pick(fitting)
        return say(form, column)

    def literal(self, kind):
        pick = self.choices.pick
        if self.choices.chance(6):
            return self.null(kind)
        if kind == "int":
            return integer(pick(INTEGERS))
        if kind == "text":
            return say("{}", quoted(pick(TEXTS)))
        if kind == "date":
            return say("DATE '{}'", pick(DATES))
        if kind == "moment":
            text = pick(MOMENTS)
            return say("TIMESTAMPTZ '{}'", text)
        if kind == "bool":
            return say(pick(["TRUE", "FALSE"]))
        if kind == "decimal":
            return say(pick(["1.5", "0.01", "2.5", "1.005", "-0.5", "0.1", "100.00", "12345678.915"]))
        return say(pick(["CAST(1.5 AS DOUBLE PRECISION)", "CAST(0 AS DOUBLE PRECISION)", "CAST(-2.5 AS DOUBLE PRECISION)"]))

    def null(self, kind):
        names = {
            "int": "BIGINT", "text": "VARCHAR", "date": "DATE", "bool": "BOOLEAN", "decimal": "DECIMAL(18,2)", "float": "DOUBLE PRECISION",
        }
        if kind == "moment":
            return each("CAST(NULL AS TIMESTAMP WITH TIME ZONE)", "CAST(NULL AS TIMESTAMPTZ)", "CAST(NULL AS TIMESTAMPTZ)")
        return say("CAST(NULL AS {})", names[kind])

    def either(self, kind, depth):
        """Forms that every type has."""
        form = self.choices.pick(["coalesce", "case", "nullif", "greatest", "least", "simple case"])
        one, other = self.of(kind, depth), self.of(kind, depth)
        if form == "case":
            end = say(" ELSE {}", other) if self.choices.chance(70) else say("")
            return say("CASE WHEN {} THEN {}{} END", self.of("bool", depth), one, end)
        if form == "simple case":
            key = self.choices.pick(["int", "text"])
            return say("CASE {} WHEN {} THEN {} WHEN {} THEN {} END", self.of(key, depth), self.literal(key), one, self.literal(key), other)
        return say(f"{form}({{}}, {{}})", one, other)

    def made_int(self, depth):
        pick, of = self.choices.pick, self.of
        form = pick(["arithmetic", "length", "either", "part", "cast", "abs", "division", "position", "days", "epoch", "round", "sign", "local part", "subquery"])
        if form == "subquery" and self.scalar:
            return self.scalar(self, depth)
        if form == "local part":
            return self.local(f"extract({pick(['hour', 'day', 'dow'])} FROM {{}})", "CAST({} AS BIGINT)", depth)
        if form == "arithmetic":
            return say("({} {} {})", of("int", depth), pick(["+", "-", "*"]), of("int", depth))
        if form == "division":
            divisor = integer(pick([2, 3, 7, -2, 10]))
            if self.choices.chance(50):
                return say("({} % {})", of("int", depth), divisor)
            # A sum is a decimal number but for DuckDB, whose // rounds down where the others cut.
            whole = "CAST({0} AS BIGINT)"
            return each(f"({whole} / {{1}})", f"CAST(({whole} - {whole} % {{1}}) // {{1}} AS BIGINT)", f"({whole} / {{1}})", of("int", depth), divisor)
        if form == "length":
            name = pick(["length", "character_length", "octet_length", "ascii"])
            return each(f"{name}({{}})", ("strlen" if name == "octet_length" else name) + "({})", f"{name}({{}})", of("text", depth))
        if form == "part":
            part, moment = pick(PARTS), of(pick(["date", "moment"]), depth)
            if self.choices.chance(30):
                return each(f"date_part('{part}', {{}})", f"date_part('{part}', {{}})", f"CAST(date_part('{part}', {{}}) AS BIGINT)", moment)
            return each(f"extract({part} FROM {{}})", f"extract({part} FROM {{}})", f"CAST(extract({part} FROM {{}}) AS BIGINT)", moment)
        if form == "cast":
            return say("CAST({} AS {})", of(pick(["bool", "decimal", "float", "int"]), depth), pick(["BIGINT", "INTEGER"])) \
                if self.choices.chance(60) else say("CAST({} AS BIGINT)", quoted(pick(["12", "-7", " 5", "0", "1e3", "x", ""])))
        if form == "position":
            return each("strpos({0}, {1})", "strpos({0}, {1})", "strpos({0}, {1})", of("text", depth), of("text", depth))
        if form == "days":
            return say("({} - {})", of("date", depth), of("date", depth)) if self.choices.chance(50) \
                else each("CAST(extract(epoch FROM {0}) AS BIGINT)", "CAST(floor(epoch({0})) AS BIGINT)", "CAST(floor(extract(epoch FROM {0})) AS BIGINT)", of("date", depth))
        if form == "epoch":
            return each("CAST(floor(extract(epoch FROM {0})) AS BIGINT)", "CAST(floor(epoch({0})) AS BIGINT)", "CAST(floor(extract(epoch FROM {0})) AS BIGINT)", of("moment", depth))
        if form == "round":
            return say("CAST({}({}) AS BIGINT)", pick(["round", "floor", "ceil", "trunc"]), of(pick(["decimal", "float"]), depth))
        if form in ("abs", "sign"):
            return each("abs({})", "abs({})", "abs({})", of("int", depth)) if form == "abs" else each("CAST(signum({}) AS BIGINT)", "CAST(sign({}) AS BIGINT)", "CAST(sign({}) AS BIGINT)", of("int", depth))
        return self.either("int", depth)

    def made_text(self, depth):
        pick, of = self.choices.pick, self.of
        form = pick(["upper", "join", "either", "substring", "replace", "trim", "left", "pad", "split", "concat", "cast", "format", "regexp", "reverse", "translate"])
        if form == "upper":
            return each("{0}({1})", "{0}({1})", '{0}({1} COLLATE "C.utf8")', pick(["upper", "lower"]), of("text", depth))
        if form == "join":
            return say("({} || {})", of("text", depth), of("text", depth))
        if form == "concat":
            return say("concat({}, {}, {})", of("text", depth), of("text", depth), of("int", depth)) if self.choices.chance(50) \
                else say("concat_ws('-', {}, {})", of("text", depth), of("text", depth))
        if form == "substring":
            return self.substring(of("text", depth))
        if form == "replace":
            return say("replace({}, {}, {})", of("text", depth), quoted(pick(["-", "1", "civ", "zz"])), of("text", depth))
        if form == "trim":
            ends = pick([("trim({})",), ("ltrim({})",), ("rtrim({})",), ("trim(BOTH '1' FROM {})",), ("btrim({}, 'c1')", "trim({}, 'c1')")])
            return each(ends[0], ends[-1], ends[0], of("text", depth))
        if form == "left":
            return say("{}({}, {})", pick(["left", "right"]), of("text", depth), str(pick([1, 3, 0, 2, -1, -2, 10])))
        if form == "pad":
            return say("{}({}, {}, {})", pick(["lpad", "rpad"]), of("text", depth), str(pick([5, 1, 0, 8])), quoted(pick([" ", "ab", "0"])))
        if form == "split":
            return say("split_part({}, {}, {})", of("text", depth), quoted(pick(["-", "1", "v"])), str(pick([1, 2, 3, -1])))
        if form == "cast":
            return say("CAST({} AS VARCHAR)", of(pick(["int", "date", "bool"]), depth))
        if form == "format":
            shape = pick([("%Y-%m", "YYYY-MM"), ("%Y", "YYYY"), ("%d.%m.%Y", "DD.MM.YYYY"), ("%H:%M", "HH24:MI")])
            return each(f"to_char({{}}, '{shape[0]}')", f"strftime({{}}, '{shape[0]}')", f"to_char({{}}, '{shape[1]}')", of("moment", depth))
        if form == "regexp":
            pattern = pick([("[0-9]", "#"), ("^c", "x"), ("(civ)-", "<\\1>"), ("-", "")])
            everywhere = self.choices.chance(50)
            flags = ", 'g'" if everywhere else ""
            return say(f"regexp_replace({{}}, '{pattern[0]}', '{pattern[1]}'{flags})", of("text", depth))
        if form == "translate":
            return say("translate({}, 'c1-', 'k_')", of("text", depth))
        return say("reverse({})", of("text", depth)) if form == "reverse" else self.either("text", depth)

    def local(self, form, wrapped, depth):
        """Something of a moment as clocks show it in a zone; the wrapping is PostgreSQL's, whose parts are decimals."""
        shown = say(f"{{}} AT TIME ZONE '{self.choices.pick(ZONES)}'", self.of("moment", depth))
        shown = say(form, shown)
        return shown._replace(post=shown.post and wrapped.format(shown.post))

    def substring(self, text):
        """PostgreSQL counts from 1 and lets the start lie before the text; DuckDB counts from the end then."""
        start, length = self.choices.pick([1, 2, 3, 0, -1, 10]), self.choices.pick([None, 1, 2, 0, 5])
        ours = f"substring({{}} FROM {start})" if length is None else f"substring({{}} FROM {start} FOR {length})"
        shown = None if length is None else max(length + min(start - 1, 0), 0)
        duck = f"substring({{}}, {max(start, 1)}" + (")" if shown is None else f", {shown})")
        return each(ours, duck, ours, text)

    def made_date(self, depth):
        pick, of = self.choices.pick, self.of
        form = pick(["cast", "plus", "truncate", "either", "from text", "interval", "make", "local day"])
        if form == "local day":
            return self.local("CAST({} AS DATE)", "{}", depth)
        if form == "cast":
            return say("CAST({} AS DATE)", of("moment", depth))
        if form == "plus":
            return each("({0} {1} INTERVAL '{2} days')", "CAST(({0} {1} INTERVAL '{2} days') AS DATE)", "CAST(({0} {1} INTERVAL '{2} days') AS DATE)", of("date", depth), pick(["+", "-"]), str(pick([1, 7, 30, 0])))
        if form == "interval":
            return each(f"CAST(({{}} + INTERVAL '{(step := pick(STEPS))}') AS DATE)", f"CAST(({{}} + INTERVAL '{step}') AS DATE)", f"CAST(({{}} + INTERVAL '{step}') AS DATE)", of("date", depth))
        if form == "truncate":
            return say("CAST(date_trunc('{}', {}) AS DATE)", pick(["month", "week", "year", "quarter", "day"]), of(pick(["date", "moment"]), depth))
        if form == "from text":
            return say("CAST({} AS DATE)", quoted(pick(DATES)))
        if form == "make":
            return say("make_date({}, {}, {})", str(pick([2026, 2024, 1970])), str(pick([1, 2, 12])), str(pick([1, 28, 29])))
        return self.either("date", depth)

    def made_moment(self, depth):
        pick, of = self.choices.pick, self.of
        form = pick(["truncate", "plus", "either", "from seconds", "cast", "bin"])
        if form == "truncate":
            return say("date_trunc('{}', {})", pick(UNITS), of("moment", depth))
        if form == "plus":
            return say("({} {} INTERVAL '{}')", of("moment", depth), pick(["+", "-"]), pick(STEPS))
        if form == "from seconds":
            return each("to_timestamp({})", "to_timestamp({})", "to_timestamp({})", integer(pick([1_780_000_000, 0, -1, 86_400, 4_102_444_800])))
        if form == "bin":
            width = pick(["15 minutes", "1 hour", "7 days"])
            return each(
                f"date_bin(INTERVAL '{width}', {{}}, TIMESTAMPTZ '2020-01-01T00:00:00Z')", f"time_bucket(INTERVAL '{width}', {{}}, TIMESTAMPTZ '2020-01-01T00:00:00Z')",
                f"date_bin(INTERVAL '{width}', {{}}, TIMESTAMPTZ '2020-01-01T00:00:00Z')", of("moment", depth),
            )
        if form == "cast":
            return each("CAST({} AS TIMESTAMP WITH TIME ZONE)", "CAST({} AS TIMESTAMPTZ)", "CAST({} AS TIMESTAMPTZ)", of("date", depth))
        return self.either("moment", depth)

    def made_decimal(self, depth):
        pick, of = self.choices.pick, self.of
        form = pick(["cast", "arithmetic", "round", "either", "mixed", "abs"])
        if form == "cast":
            return say("CAST({} AS DECIMAL({},{}))", of(pick(["int", "decimal"]), depth), pick(["18", "10", "38"]), pick(["2", "0", "4"]))
        if form == "arithmetic":
            return say("({} {} {})", of("decimal", depth), pick(["+", "-", "*"]), of("decimal", depth))
        if form == "mixed":
            return say("({} {} {})", of("int", depth), pick(["*", "+", "-"]), self.literal("decimal"))
        if form == "round":
            return say("round({}, {})", of("decimal", depth), str(pick([2, 0, 1, 3])))
        return say("abs({})", of("decimal", depth)) if form == "abs" else self.either("decimal", depth)

    def made_float(self, depth):
        pick, of = self.choices.pick, self.of
        form = pick(["cast", "divide", "either", "arithmetic", "sqrt", "round", "seconds"])
        if form == "seconds":
            return each("extract(epoch FROM ({0} - {1}))", "(epoch_us({0}) - epoch_us({1})) / 1e6", "extract(epoch FROM ({0} - {1}))", of("moment", depth), of("moment", depth))
        if form == "cast":
            return say("CAST({} AS DOUBLE PRECISION)", of(pick(["int", "decimal"]), depth))
        if form == "divide":
            return say("({} / {})", say("CAST({} AS DOUBLE PRECISION)", of("int", depth)), pick(["3", "7", "1000"]))
        if form == "arithmetic":
            return say("({} {} {})", of("float", depth), pick(["+", "-", "*"]), of("float", depth))
        if form == "sqrt":
            return say("sqrt(abs({}))", of("float", depth))
        return say("floor({})", of("float", depth)) if form == "round" else self.either("float", depth)

    def made_bool(self, depth):
        """A condition."""
        pick, of = self.choices.pick, self.of
        form = self.choices.weighted([
            (20, "compare"), (10, "and"), (8, "null"), (8, "in"), (8, "between"), (8, "like"), (5, "not"), (4, "is"), (4, "similar"), (4, "regex"),
            (5, "distinct"), (12, "subquery"), (4, "either"), (3, "literal moment"), (3, "long list"), (3, "span"), (4, "narrow"), (5, "held"),
        ])
        kind = pick(["int", "text", "date", "moment", "decimal"])
        if form == "and":
            return say("({} {} {})", of("bool", depth), pick(["AND", "OR"]), of("bool", depth))
        if form == "null":
            return say("({} IS {}NULL)", of(kind, depth), pick(["NOT ", ""]))
        if form == "in":
            values = joined(", ", [self.literal(kind) for _ in range(1 + self.choices.below(3))])
            if self.choices.chance(20):
                values = say("{}, NULL", values)
            return say("({} {}IN ({}))", of(kind, depth), pick(["", "NOT "]), values)
        if form == "between":
            low, high = of(kind, depth), say("NULL") if self.choices.chance(8) else of(kind, depth)
            return say("({} {}BETWEEN {} AND {})", of(kind, depth), pick(["", "NOT "]), low, high)
        if form == "like":
            return each(f"({{}} {(word := pick(['LIKE', 'NOT LIKE', 'ILIKE']))} '{(pattern := pick(LIKES))}')", f"({{}} {word} '{pattern}' ESCAPE '\\')", f"({{}} {word} '{pattern}')", of("text", depth))
        if form == "similar":
            similar, regex = pick(SIMILARS)
            word = pick(["", "NOT "])
            regex = regex.replace("{", "{{").replace("}", "}}")
            own = similar.replace("{", "{{").replace("}", "}}")
            return each(f"({{}} {word}SIMILAR TO '{own}')", f"({word}regexp_full_match({{}}, '{regex}'))", f"({{}} {word}SIMILAR TO '{own}')", of("text", depth))
        if form == "regex":
            return self.regex(of("text", depth))
        if form == "not":
            return say("(NOT {})", of("bool", depth))
        if form == "is":
            return say("({} IS {})", of("bool", depth), pick(["TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "UNKNOWN"]) if self.choices.chance(70) else "NOT NULL")
        if form == "distinct":
            return say("({} IS {}DISTINCT FROM {})", of(kind, depth), pick(["", "NOT "]), of(kind, depth))
        if form == "subquery" and self.subquery:
            return self.subquery(self, depth)
        if form == "literal moment":
            text = pick(["'2026-11-05'", "'2026-11-05 12:00:00'", "'2026-11-02T00:00:00Z'", "TIMESTAMP '2026-11-02 00:00:00'", "DATE '2026-11-02'", "TIMESTAMP '2026-03-08 02:30:00'"])
            return say("({} {} {})", of("moment", depth), pick(COMPARISONS), text)
        if form == "span":
            return say("(({} - {}) {} INTERVAL '{}')", of("moment", depth), of("moment", depth), pick(COMPARISONS), pick(["1 day", "1 hour", "2 days", "36 hours"]))
        if form == "long list":
            values = ", ".join(str(number) for number in range(pick([0, 1, -3]), pick([20, 7, 60])))
            return say("({} {}IN ({}))", of("int", depth), pick(["", "NOT "]), values)
        if form == "narrow":
            return say(pick(["({} = {})", "({} <> {})", "({} >= {})", "({1} < {0})", "({} IN ({}, 7))", "({} NOT IN ({}, 7))", "({0} BETWEEN {1} AND {1})"]),
                       self.narrow(depth), pick(["0", "1", "2", "10", "100"]))
        if form == "held":
            return self.held(depth)
        if form == "either":
            return self.either("bool", depth)
        right = say("NULL") if self.choices.chance(3) else of(kind, depth)
        return say("({} {} {})", of(kind, depth), pick(COMPARISONS), right)

    def narrow(self, depth):
        """A cast to a type that cannot hold every value, or not without rounding."""
        number = self.of("int", depth)
        if self.choices.chance(30):
            fits = "CASE WHEN {0} BETWEEN -2147483648 AND 2147483647 THEN CAST({0} AS INTEGER) END"
            return each("TRY_CAST({} AS INTEGER)", "TRY_CAST({} AS INTEGER)", fits, number)
        fraction = say("({} * {})", number, self.choices.pick(["0.5", "0.05", "0.15", "1.25"]))
        return say("CAST({} AS {})", fraction, self.choices.pick(["DECIMAL(30,0)", "DECIMAL(30,1)", "DECIMAL(8,0)", "BIGINT", "SMALLINT"]))

    def held(self, depth):
        """A condition that holds a part of a value constant, and not the value: its day, its half."""
        pick = self.choices.pick
        if self.choices.chance(60):
            return say(pick(["(CAST({0} AS DATE) = {1})", "(CAST({0} AS DATE) BETWEEN {1} AND {1})", "(CAST({0} AS DATE) >= {1} AND CAST({0} AS DATE) <= {1})"]),
                       self.of("moment", depth), self.literal("date"))
        halved = each("(CAST({0} AS BIGINT) / {1} = {2})", "((CAST({0} AS BIGINT) - CAST({0} AS BIGINT) % {1}) // {1} = {2})", "(CAST({0} AS BIGINT) / {1} = {2})",
                      self.of("int", depth), pick(["2", "10", "-3"]), pick(["0", "1", "2", "5"]))
        return halved if self.choices.chance(70) else say("(CAST({} AS DOUBLE PRECISION) * 0 = 0)", self.of("int", depth))

    def regex(self, text):
        word = self.choices.pick(["~", "!~", "~*", "regexp_like"])
        pattern = self.choices.pick(REGEXES).replace("{", "{{").replace("}", "}}")
        option = ", 'i'" if word == "~*" else ""
        duck = ("(NOT " if word == "!~" else "(") + f"regexp_matches({{}}, '{pattern}'{option}))"
        if word == "regexp_like":
            return each(f"regexp_like({{}}, '{pattern}')", duck, f"({{}} ~ '{pattern}')", text)
        return each(f"({{}} {word} '{pattern}')", duck, f"({{}} {word} '{pattern}')", text)
