"""Runs statements over lakes, shrinks what differs and keeps count. Called by `run`; see README.md."""

import collections
import json
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import judge
from choices import Branch, Choices
from dialects import Sql
from findings import Finding, Findings, allowing, described
from judge import Trial
from lakes import Events, land
from shrink import shrink_decisions, shrink_rows
from statements import Statement, make

# None whose rules change with the version of the zones: DuckDB brings its own.
ZONES = ["UTC", "UTC", "UTC", "America/Chicago", "America/St_Johns", "Asia/Kolkata"]
# Differences of one run that are shrunk; beyond, the run has failed anyway and says how many more there were.
# What makes a statement one of doubles.
DOUBLES = re.compile(r"DOUBLE|\bavg\(|stddev|sqrt|percentile_cont|median")
SHRUNK_MAX = 400


@dataclass
class Hunt:
    """One run: the binary, what is allowed, and what was seen."""

    binary: Path
    allowed: list
    postgres: object = None
    mended: list = field(default_factory=list)
    is_thorough: bool = False
    zones: list = field(default_factory=lambda: ZONES)
    findings: Findings = field(default_factory=Findings)
    states: collections.Counter = field(default_factory=collections.Counter)
    refusals: collections.Counter = field(default_factory=collections.Counter)
    unasked: collections.Counter = field(default_factory=collections.Counter)
    examples: dict = field(default_factory=dict)
    shrunk: int = 0
    shrinks_rows: bool = True
    report: object = None
    ends: float | None = None

    def lake(self, seed, statements, seed_of):
        """So many statements over one random lake."""
        zone = self.zones[seed % len(self.zones)]
        folder = Path(tempfile.mkdtemp(prefix="bluelake-differential-"))
        try:
            pieces = Events(seed).pieces()
            trial = Trial(self.binary, land(self.binary, folder, pieces), zone, self.postgres)
            try:
                for number in range(statements):
                    if self.ends and time.monotonic() > self.ends:
                        break
                    self.one(trial, seed, seed_of(number), pieces)
            finally:
                trial.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def one(self, trial, lake_seed, statement_seed, pieces):
        choices = Choices(statement_seed)
        statement = make(choices)
        outcome = trial.judge(statement)
        self.states[outcome.state] += 1
        if outcome.state == judge.SAME and outcome.kind:
            self.states[outcome.kind] += 1
        if outcome.state == judge.REFUSED:
            self.refusals[outcome.kind] += 1
            shortest = self.examples.setdefault(outcome.kind, statement.sql.blue)
            self.examples[outcome.kind] = min(shortest, statement.sql.blue, key=len)
        if outcome.state == judge.UNASKED:
            self.unasked[outcome.kind] += 1
        if outcome.state == judge.DIFFERENT and not self.is_thorough and allowing(self.mended, statement.sql.blue, outcome.kind):
            self.states["may show a known fault"] += 1
        elif outcome.state == judge.DIFFERENT:
            self.shrink(trial, lake_seed, choices.made, outcome, pieces)

    def shrink(self, trial, lake_seed, decisions, outcome, pieces):
        """The smallest statement that differs in the same way, then the fewest events."""
        self.shrunk += 1
        if self.shrunk > SHRUNK_MAX:
            self.states["not shrunk"] += 1
            return
        kind = outcome.kind

        def still(candidate):
            answer = trial.judge(make(Choices(given=candidate)))
            return answer.state == judge.DIFFERENT and answer.kind == kind

        smallest = shrink_decisions(decisions, still)
        statement = make(Choices(given=smallest))
        outcome = trial.judge(statement)
        if outcome.state == judge.SAME and DOUBLES.search(statement.sql.blue):
            # Where large numbers of both signs cancel, the order in which doubles are summed up shows, now and then.
            self.states["sums of doubles, the same when asked again"] += 1
            return
        entry = allowing([*self.allowed, *self.mended], statement.sql.blue, kind)
        if entry:
            entry.seen += 1
            self.states["allowed"] += 1
            return
        place = f"{lake_seed} {trial.zone} {smallest.as_text()}"
        finding = Finding(kind, statement, outcome.detail, outcome.postgres, place)
        if not self.findings.add(finding):
            return
        if self.shrinks_rows:
            finding.rows = self.fewest_events(trial.zone, statement, kind, pieces)
        print(described(finding), end="\n\n", flush=True)
        if self.report:
            self.report(finding)

    def fewest_events(self, zone, statement, kind, pieces):
        """The events of a lake that are enough; None when the difference does not come again from their like."""
        events = [(number, stream, event) for number, piece in enumerate(pieces) for stream, event in piece]

        def differs(events):
            folder = Path(tempfile.mkdtemp(prefix="bluelake-differential-"))
            trial = None
            try:
                numbers = sorted({number for number, _, _ in events})
                few = [[(stream, event) for own, stream, event in events if own == number] for number in numbers]
                trial = Trial(self.binary, land(self.binary, folder, few), zone, None)
                answer = trial.judge(statement)
                return answer.state == judge.DIFFERENT and answer.kind == kind
            finally:
                if trial:
                    trial.close()
                shutil.rmtree(folder, ignore_errors=True)

        if differs([]):
            return []
        return [(stream, event) for _, stream, event in shrink_rows(events, differs, 25)] if differs(events) else None

    def again(self, path):
        """Statements that differed once, each over its lake."""
        by_lake = collections.defaultdict(list)
        for number, case in enumerate(read_cases(path), 1):
            by_lake[case["lake"], case["zone"]].append((number, case))
        for (seed, zone), cases in by_lake.items():
            with_lake(self, seed, zone, lambda trial: [self.again_one(trial, number, case) for number, case in cases])

    def again_one(self, trial, number, case):
        statement = statement_of(case)
        outcome = trial.judge(statement)
        self.states[f"again: {outcome.state}"] += 1
        if outcome.state == judge.DIFFERENT and not allowing([*self.allowed, *self.mended], case["blue"], outcome.kind):
            finding = Finding(outcome.kind, statement, outcome.detail, outcome.postgres, f"failed {number}")
            if self.findings.add(finding):
                print("CAME BACK ", described(finding), end="\n\n", flush=True)

    def repeat(self, place, path):
        """One case once more, with all that the engines say: a line of `failed.ndjson`, or a lake, a zone and decisions."""
        if place.startswith("failed "):
            case = read_cases(path)[int(place.removeprefix("failed ")) - 1]
            seed, zone, statement = case["lake"], case["zone"], statement_of(case)
        else:
            seed, zone, decisions = place.split(" ")
            statement = make(Choices(given=Branch.from_text(decisions)))

        def show(trial):
            print(f"Bluelake:   {statement.sql.blue}\n  {trial.bluelake.ask(statement.sql.blue, [name for name, _ in statement.columns])}")
            print(f"DuckDB:     {statement.sql.duck}\n  {trial.duckdb.ask(statement.sql.duck)}")
            print(f"PostgreSQL: {statement.sql.post}\n  {trial.ask_postgres(statement.sql.post)}")
            outcome = trial.judge(statement)
            print(outcome)
            self.states[outcome.state] += 1
            if outcome.state == judge.DIFFERENT and not allowing(self.allowed, statement.sql.blue, outcome.kind):
                self.findings.add(Finding(outcome.kind, statement, outcome.detail, outcome.postgres, place))

        with_lake(self, int(seed), zone, show)


def read_cases(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []


def statement_of(case):
    return Statement(Sql(case["blue"], case["duck"], case["post"]), [(name, "") for name in case["columns"]], case["ordered_by"])


def with_lake(hunt, seed, zone, work):
    """Does something with the lake of a seed."""
    folder = Path(tempfile.mkdtemp(prefix="bluelake-differential-"))
    try:
        trial = Trial(hunt.binary, land(hunt.binary, folder, Events(seed).pieces()), zone, hunt.postgres)
        try:
            work(trial)
        finally:
            trial.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def summary(hunt, seconds, examples=False, out=sys.stdout):
    """The figures of a run."""
    total = sum(hunt.states[state] for state in (judge.SAME, judge.REFUSED, judge.UNASKED, judge.DIFFERENT))
    print(f"{total} statements in {seconds:.0f} s: " + ", ".join(f"{count} {state}" for state, count in hunt.states.most_common()), file=out)
    for title, counts, most in [("Refused by Bluelake, by kind of message:", hunt.refusals, 40), ("Not compared, as neither DuckDB nor PostgreSQL knows it:", hunt.unasked, 15)]:
        if counts:
            print(title, file=out)
            for kind, count in counts.most_common(most):
                print(f"  {count:6} {kind}", file=out)
                if examples and kind in hunt.examples:
                    print(f"         {hunt.examples[kind]}", file=out)
    for entry in hunt.allowed:
        if entry.seen:
            print(f"Allowed {entry.seen} times: {entry.name}: {entry.reason}", file=out)
    for finding in sorted(hunt.findings.kinds.values(), key=lambda finding: -finding.seen):
        print(f"{finding.seen:6} × {finding.kind}: {finding.statement.sql.blue}", file=out)
