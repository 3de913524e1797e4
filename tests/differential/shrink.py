"""Makes a failing case small: the decisions behind a statement, and the rows of a lake."""

from choices import Branch


def shrink_decisions(decisions, fails, attempts=600):
    """The smallest tree of decisions for which `fails` still holds.

    Branches are emptied, left out, or replaced by what is inside them, the largest first, then decisions are lowered, until
    nothing more helps or `fails` has been asked `attempts` times.
    """
    best, asked, improved = decisions.trimmed(), {}, True
    while improved:
        improved = False
        for candidate in simpler(best):
            candidate = candidate.trimmed()
            key = candidate.as_text()
            if key in asked or weight(candidate) >= weight(best):
                continue
            if len(asked) >= attempts:
                return best
            asked[key] = fails(candidate)
            if asked[key]:
                best, improved = candidate, True
                break
    return best


def weight(branch):
    """Fewer decisions are simpler; of equally many, fewer other than 0, then lower ones."""
    every = [value for one in branches(branch) for value in one.values]
    return (len(every) + 2 * sum(1 for _ in branches(branch)), sum(1 for value in every if value), sum(every))


def branches(branch):
    """A branch and all inside it."""
    yield branch
    for part in branch.parts:
        yield from branches(part)


def places(branch, path=()):
    """The way to each branch, from the outside in."""
    yield path
    for number, part in enumerate(branch.parts):
        yield from places(part, (*path, number))


def at(branch, path):
    for number in path:
        branch = branch.parts[number]
    return branch


def with_replaced(branch, path, replacements):
    """The tree with the branch at a path replaced by several, or by none."""
    if not path:
        return replacements[0] if replacements else Branch()
    number, rest = path[0], path[1:]
    inner = replacements if not rest else [with_replaced(branch.parts[number], rest, replacements)]
    return Branch(branch.values, branch.parts[:number] + inner + branch.parts[number + 1:])


def simpler(tree):
    """Trees that may be simpler, the boldest first."""
    paths = sorted(places(tree), key=lambda path: -sum(1 for _ in branches(at(tree, path))))
    for path in paths:
        branch = at(tree, path)
        if path and branch != Branch():
            yield with_replaced(tree, path, [Branch()])
            yield with_replaced(tree, path, [])
        for inner in list(places(branch))[1:12]:
            yield with_replaced(tree, path, [at(branch, inner)])
        if path and branch.values:
            yield with_replaced(tree, path, [Branch([], branch.parts)])
    for path in paths:
        branch = at(tree, path)
        for place, value in enumerate(branch.values):
            for lower in sorted({0, value // 2, value - 1} - {value, -1}):
                yield with_replaced(tree, path, [Branch(branch.values[:place] + [lower] + branch.values[place + 1:], branch.parts)])
            yield with_replaced(tree, path, [Branch(branch.values[:place] + branch.values[place + 1:], branch.parts)])
            # One part less of so many: the count and the part must go together.
            for number in range(len(branch.parts)) if value else ():
                fewer = branch.values[:place] + [value - 1] + branch.values[place + 1:]
                yield with_replaced(tree, path, [Branch(fewer, branch.parts[:number] + branch.parts[number + 1:])])


def shrink_rows(rows, fails, attempts=60):
    """The fewest of the rows for which `fails` still holds, each needed, unless the attempts run out."""
    parts, asked = 2, 0
    while len(rows) >= 1 and asked < attempts:
        size = max(len(rows) // parts, 1)
        for start in range(0, len(rows), size):
            rest = rows[:start] + rows[start + size:]
            asked += 1
            if fails(rest):
                rows, parts = rest, max(parts - 1, 2)
                break
            if asked >= attempts:
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(rows))
    return rows
