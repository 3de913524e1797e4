"""Random decisions that are written down, so that a statement can be made again from them and shrunk through them.

A statement is a function of a tree of numbers. A part of a statement takes its decisions from a branch of its own, so that
a change in one part leaves the others as they are. The grammar puts its simplest form first: a lower number, or a branch
that is missing, means a simpler statement.
"""

import functools
import json
import random
from dataclasses import dataclass, field

# Decisions after so many are all the simplest: no statement grows without end.
DECISIONS_MAX = 400


@dataclass
class Branch:
    """Decisions of one part, and the branches of the parts inside it."""

    values: list = field(default_factory=list)
    parts: list = field(default_factory=list)

    def trimmed(self):
        """Without what means nothing: zeros and empty branches at the end."""
        values, parts = list(self.values), [part.trimmed() for part in self.parts]
        while values and not values[-1]:
            values.pop()
        while parts and parts[-1] == Branch():
            parts.pop()
        return Branch(values, parts)

    def as_text(self):
        return json.dumps(self.as_lists(), separators=(",", ":"))

    def as_lists(self):
        return [*self.values, *(part.as_lists() for part in self.parts)]

    @classmethod
    def from_lists(cls, lists):
        return cls([item for item in lists if isinstance(item, int)], [cls.from_lists(item) for item in lists if isinstance(item, list)])

    @classmethod
    def from_text(cls, text):
        return cls.from_lists(json.loads(text))


class Choices:
    """Decisions drawn from a seed, or taken from a tree; what the tree lacks is 0. `made` is the tree of this time."""

    def __init__(self, seed=None, given=None):
        self.random = random.Random(seed) if given is None else None
        self.made = Branch()
        self.count = 0
        self.now, self.given = self.made, given

    def below(self, count):
        """A number from 0 to count - 1."""
        place = len(self.now.values)
        self.count += 1
        if self.count > DECISIONS_MAX or count <= 1:
            value = 0
        elif self.random:
            value = self.random.randrange(count)
        else:
            value = min(self.given.values[place], count - 1) if place < len(self.given.values) else 0
        self.now.values.append(value)
        return value

    def inside(self, make):
        """What `make` makes, with the decisions of the next branch."""
        now, given = self.now, self.given
        branch = Branch()
        place = len(now.parts)
        now.parts.append(branch)
        self.now = branch
        if given is not None:
            self.given = given.parts[place] if place < len(given.parts) else Branch()
        try:
            return make()
        finally:
            self.now, self.given = now, given

    def pick(self, options):
        """One of the options; the first is the simplest."""
        return options[self.below(len(options))]

    def chance(self, percent):
        """Whether something happens that happens so often; 0 means that it does not."""
        return self.below(100) >= 100 - percent

    def weighted(self, options):
        """One of (weight, option)s."""
        at = self.below(sum(weight for weight, _ in options))
        for weight, option in options:
            if at < weight:
                return option
            at -= weight
        raise AssertionError("the weights add up to more than was drawn")


def part(method):
    """A method of something that has `choices`: it makes a part of a statement, from a branch of its own."""
    @functools.wraps(method)
    def inside(self, *arguments):
        return self.choices.inside(lambda: method(self, *arguments))
    return inside
