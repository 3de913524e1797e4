"""What the comparer takes for the same, and what it does not."""

import datetime
import decimal
import unittest

from compare import difference

D = decimal.Decimal
UTC = datetime.timezone.utc


class Compare(unittest.TestCase):
    def same(self, ours, theirs, ordered_by=None):
        self.assertIsNone(difference(ours, theirs, ordered_by))

    def differs(self, ours, theirs, ordered_by=None):
        self.assertIsNotNone(difference(ours, theirs, ordered_by))

    def test_rows_are_compared_as_a_bag(self):
        self.same([(1, "a"), (2, "b")], [(2, "b"), (1, "a")])
        self.differs([(1,), (1,), (2,)], [(1,), (2,), (2,)])
        self.differs([(1,)], [(1,), (1,)])
        self.differs([], [(None,)])
        self.same([(D("0.0"),), (D("-12.5"),)], [(-0.0,), (-12.5,)])
        self.same([(D("1793468296"),), (D("1793468457"),)], [(1793468457.0,), (1793468296.0,)])

    def test_doubles_that_differ_in_the_last_digit_tie(self):
        ours = [(decimal.Decimal("12.166666666666668"), 2), (decimal.Decimal("12.166666666666668"), 1)]
        theirs = [(12.166666666666666, 1), (12.166666666666668, 2)]
        self.same(ours, theirs, [0, 1])
        self.differs([(2.5, 1), (1.5, 2)], [(1.5, 2), (2.5, 1)], [0, 1])
        self.differs([(2.0, 1), (2.0, 2)], [(2.0, 2), (2.0, 1)], [0, 1])

    def test_the_order_counts_by_the_columns_that_are_named(self):
        self.same([(1, "b"), (1, "a"), (2, "c")], [(1, "a"), (1, "b"), (2, "c")], [0])
        self.differs([(2,), (1,)], [(1,), (2,)], [0])
        self.differs([(None,), (1,)], [(1,), (None,)], [0])

    def test_null_is_no_value(self):
        self.differs([(None,)], [(0,)])
        self.differs([(None,)], [("",)])
        self.differs([(None,)], [(False,)])

    def test_whole_numbers_and_decimals_are_exact(self):
        self.same([(5,)], [(D("5.00"),)])
        self.differs([(9223372036854775807,)], [(9223372036854775806,)])
        self.differs([(2**70,)], [(2**70 + 1,)])
        self.differs([(D("0.1"),)], [(D("0.10000001"),)])
        self.differs([(1,)], [(True,)])

    def test_doubles_may_differ_in_the_last_digits_and_no_further(self):
        self.same([(D("0.30000000000000004"),)], [(0.3,)])
        self.same([(D("1e300"),)], [(1.0000000000000002e300,)])
        self.differs([(D("0.3001"),)], [(0.3,)])
        self.differs([(D("9007199254740993"),)], [(9007199254740993.0 * 1.001,)])
        self.same([(D("3.33333"),)], [(10 / 3,)])
        self.differs([(D("3.3"),)], [(10 / 3,)])

    def test_bags_of_doubles_meet_although_their_last_digits_sort_otherwise(self):
        self.same([(D("0.1"), "b"), (D("0.10000000000000002"), "a")], [(0.1, "a"), (0.1, "b")])

    def test_decimals_and_doubles_near_half_a_digit_of_the_sort_key_meet_in_long_results(self):
        ours = [(D("-973.500001") if place % 2 else D("-973.499999"),) for place in range(3000)]
        self.same(ours, [(float(value),) for value, in reversed(ours)])
        self.differs([*ours, (D("-973.499998"),)], [(float(value),) for value, in [*ours, (D("-973.500002"),)]])

    def test_large_numbers_that_begin_alike_meet_in_long_results(self):
        ours = [(2147483648 - place % 2, str(place)) for place in range(5000)]
        self.same(ours, list(reversed(ours)))
        self.same([(value,) for value, _ in ours], [(value,) for value, _ in reversed(ours)])

    def test_moments_are_the_same_in_every_zone_and_midnight_is_a_date(self):
        self.same([("2026-11-01T00:00:00-05:00",)], [(datetime.datetime(2026, 11, 1, 5, tzinfo=UTC),)])
        self.same([("2026-11-01T00:00:00Z",)], [(datetime.date(2026, 11, 1),)])
        self.same([("2026-11-01T05:00:00.500Z",)], [(datetime.datetime(2026, 11, 1, 5, 0, 0, 500_000, UTC),)])
        self.differs([("2026-11-01T05:00:00.500001Z",)], [(datetime.datetime(2026, 11, 1, 5, 0, 0, 500_000, UTC),)])
        self.differs([("2026-11-01",)], [("2026-11-02",)])

    def test_texts_are_compared_letter_by_letter(self):
        self.differs([("a",)], [("A",)])
        self.differs([("a ",)], [("a",)])


if __name__ == "__main__":
    unittest.main()
