"""Whether two results are the same rows.

Whole numbers and decimals are compared exactly, doubles to nine digits, since sums of doubles depend on their order. A
moment is compared as a moment, whatever zone it is written in; midnight and its date are one.
"""

import collections
import datetime
import decimal
import math
import re

EXACT = decimal.Context(prec=80)
DOUBLE_DIGITS = decimal.Decimal("1e-9")
# Engines divide decimals to different numbers of digits. From so many digits on, the last one may differ.
DIVISION_DIGITS = 4
MOMENT = re.compile(r"(-?\d{4,6}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?)(\.\d+)?(Z|[+-]\d\d(?::?\d\d)?)?)?")


def plain(value):
    """A value in the one form in which it is compared."""
    if value is None or isinstance(value, (bool, int, decimal.Decimal)):
        return value
    if isinstance(value, float):
        return value if not math.isnan(value) else "NaN"
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return moment(value.isoformat())
    if isinstance(value, datetime.timedelta):
        return decimal.Decimal(value // datetime.timedelta(microseconds=1)) / 1_000_000
    if isinstance(value, (list, tuple)):
        return tuple(plain(item) for item in value)
    if isinstance(value, dict):
        return tuple(plain(item) for item in value.values())
    return moment(str(value))


def moment(text):
    """A text that is a date or a time in its shortest form, in UTC; any other text as it is."""
    match = MOMENT.fullmatch(text)
    if not match:
        return text
    day, clock, fraction, zone = match.groups()
    if clock is None:
        return day
    clock = clock if len(clock) == 8 else clock + ":00"
    if zone and zone != "Z" and len(day) == 10:
        try:
            shifted = datetime.datetime.fromisoformat(f"{day}T{clock}{zone}").astimezone(datetime.timezone.utc)
            day, clock = shifted.strftime("%Y-%m-%d"), shifted.strftime("%H:%M:%S")
        except (ValueError, OverflowError):
            return text
    fraction = (fraction or "").rstrip("0").rstrip(".")
    return day if clock == "00:00:00" and not fraction else f"{day}T{clock}{fraction}"


def same_value(ours, theirs):
    """Whether two plain values are one."""
    if ours is None or theirs is None:
        return ours is theirs
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return len(ours) == len(theirs) and all(map(same_value, ours, theirs))
    if is_number(ours) and is_number(theirs):
        return same_number(ours, theirs)
    return ours == theirs


def is_number(value):
    return isinstance(value, (int, float, decimal.Decimal))


def same_number(ours, theirs):
    """Exactly, unless one is a double or the last digits of a division."""
    if any(isinstance(number, float) and math.isinf(number) for number in (ours, theirs)):
        return ours == theirs
    is_double = isinstance(ours, float) or isinstance(theirs, float)
    ours, theirs = decimal.Decimal(ours), decimal.Decimal(theirs)
    gap = EXACT.abs(EXACT.subtract(ours, theirs))
    if not gap:
        return True
    digits = min(-number.as_tuple().exponent for number in (ours, theirs))
    if digits > DIVISION_DIGITS and gap <= decimal.Decimal(1).scaleb(-digits):
        return True
    largest = max(abs(ours), abs(theirs))
    return is_double and gap <= EXACT.multiply(largest, DOUBLE_DIGITS) + decimal.Decimal("1e-12")


def sort_key(row):
    """Brings equal rows of two results to the same place; doubles by their first digits, since the last may differ."""
    return [key_of(value) for value in row]


def key_of(value):
    if value is None:
        return (0, "", 0)
    if isinstance(value, bool):
        return (1, str(value), 0)
    if is_number(value):
        first = f"{float(value) + 0.0:.6e}" if abs(value) < 10**300 else str(value)
        return (2, first, int(value) if is_whole(value) else 0)
    return (3, repr(value), 0)


def is_whole(value):
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) or isinstance(value, decimal.Decimal) and value.is_finite() and value == value.to_integral_value()


def difference(ours, theirs, ordered_by=None):
    """What tells two results apart, in words; None when they are the same.

    Rows are compared as a bag. When `ordered_by` names columns, these must also come in the same order.
    """
    ours = [tuple(plain(value) for value in row) for row in ours]
    theirs = [tuple(plain(value) for value in row) for row in theirs]
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, not {len(theirs)}"
    left, right = (sorted(rows, key=sort_key) for rows in without_pairs(ours, theirs))
    wrong = [(one, other) for one, other in zip(left, right) if not same_row(one, other)]
    if wrong and not same_bag(left, right):
        return f"{len(wrong)} of {len(ours)} rows: {wrong[0][0]!r}, not {wrong[0][1]!r}"
    if ordered_by:
        ordered_by = decided(ordered_by, ours + theirs)
        for place, (one, other) in enumerate(zip(ours, theirs)):
            if not same_row([one[column] for column in ordered_by], [other[column] for column in ordered_by]):
                return f"another order: row {place + 1} is {one!r}, not {other!r}"
    return None


def decided(ordered_by, rows):
    """The columns up to the first that holds doubles with a fraction: whether two of these tie is open in their last digit."""
    for place, column in enumerate(ordered_by):
        if any(isinstance(row[column], float) and not is_whole(row[column]) for row in rows):
            return ordered_by[:place + 1]
    return ordered_by


def without_pairs(ours, theirs):
    """The rows that have no twin to the last digit in the other result: only these are compared digit by digit."""
    ours_by_text, theirs_by_text = ([(exact(row), row) for row in rows] for rows in (ours, theirs))
    common = collections.Counter(text for text, _ in ours_by_text) & collections.Counter(text for text, _ in theirs_by_text)
    return tuple(left_over(rows, common.copy()) for rows in (ours_by_text, theirs_by_text))


def left_over(rows, common):
    left = []
    for text, row in rows:
        if common[text]:
            common[text] -= 1
        else:
            left.append(row)
    return left


def exact(value):
    """A text that only equal values have; a double is the decimal that it is written as."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(exact, value)) + ")"
    if is_number(value) and not isinstance(value, bool):
        number = decimal.Decimal(repr(value) if isinstance(value, float) else value)
        return str(EXACT.normalize(number) + 0) if number.is_finite() else str(number)
    return repr(value)


def same_row(one, other):
    return len(one) == len(other) and all(map(same_value, one, other))


def same_bag(left, right):
    """The slow way, for rows that the sort key brought into different orders."""
    if len(left) > 2_000:
        return False
    left = list(left)
    for row in right:
        place = next((place for place, other in enumerate(left) if same_row(other, row)), None)
        if place is None:
            return False
        left.pop(place)
    return True
