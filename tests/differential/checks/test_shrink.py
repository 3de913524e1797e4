"""The shrinker finds the smallest case, and never one that does not fail."""

import unittest

from choices import Branch, Choices
from shrink import shrink_decisions, shrink_rows, weight
from statements import make


def statement(tree):
    return make(Choices(given=tree)).sql.blue


class Shrink(unittest.TestCase):
    def shrunk_to(self, seeds, fails):
        """The smallest statements from those of the seeds that fail."""
        found = set()
        for seed in seeds:
            choices = Choices(seed)
            make(choices)
            if fails(choices.made):
                smallest = shrink_decisions(choices.made, fails, attempts=3000)
                self.assertTrue(fails(smallest))
                self.assertLessEqual(weight(smallest), weight(choices.made.trimmed()))
                found.add(statement(smallest))
        self.assertTrue(found, "no seed fails: the test says nothing")
        return found

    def test_decisions_make_the_same_statement_again(self):
        for seed in range(200):
            choices = Choices(seed)
            first = make(choices)
            again = make(Choices(given=Branch.from_text(choices.made.trimmed().as_text())))
            self.assertEqual(first.sql, again.sql)

    def test_no_decisions_make_the_simplest_statement(self):
        self.assertEqual("SELECT t1.points AS c0 FROM donations AS t1", statement(Branch()))

    def test_what_has_nothing_to_do_with_the_failure_is_left_out(self):
        smallest = self.shrunk_to(range(60), lambda tree: "reverse(" in statement(tree))
        self.assertLessEqual(max(map(len, smallest)), 170, smallest)

    def test_two_things_that_fail_only_together_are_both_kept(self):
        def fails(tree):
            return "GROUP BY" in statement(tree) and "LEFT JOIN" in statement(tree)
        smallest = self.shrunk_to(range(80), fails)
        self.assertLessEqual(max(map(len, smallest)), 230, smallest)

    def test_attempts_are_bounded(self):
        asked = []
        choices = Choices(5)
        make(choices)
        shrink_decisions(choices.made, lambda tree: asked.append(tree), attempts=7)
        self.assertEqual(7, len(asked))

    def test_rows_that_are_not_needed_go(self):
        self.assertEqual([3, 17], shrink_rows(list(range(40)), lambda rows: 3 in rows and 17 in rows, 500))
        self.assertEqual([], shrink_rows(list(range(40)), lambda rows: True, 500))

    def test_all_rows_stay_when_all_are_needed(self):
        self.assertEqual([1, 2, 3], shrink_rows([1, 2, 3], lambda rows: len(rows) == 3, 500))


if __name__ == "__main__":
    unittest.main()
