"""What makes two findings one kind, and which may stand."""

import tempfile
import unittest
from pathlib import Path

from findings import allowing, read_allowed, shape
from judge import message_kind


class Findings(unittest.TestCase):
    def test_names_and_values_do_not_make_another_kind(self):
        self.assertEqual(shape("SELECT t1.points AS c0 FROM donations AS t1 WHERE t1.points = 5"), shape("SELECT t7.quantity AS c3 FROM redemption_items AS t7 WHERE t7.quantity = 90"))
        self.assertNotEqual(shape("SELECT sum(t1.points) AS c0 FROM donations AS t1"), shape("SELECT max(t1.points) AS c0 FROM donations AS t1"))

    def test_an_entry_allows_what_it_matches_and_nothing_else(self):
        allowed = self.read('[[allowed]]\nname = "x"\npattern = "MEDIAN"\nreason = "y"\nkind = "other rows"\n')
        self.assertIsNotNone(allowing(allowed, "SELECT median(a)", "other rows"))
        self.assertIsNone(allowing(allowed, "SELECT median(a)", "crash"))
        self.assertIsNone(allowing(allowed, "SELECT avg(a)", "other rows"))

    def test_an_entry_without_a_reason_is_refused(self):
        with self.assertRaises(ValueError):
            self.read('[[allowed]]\nname = "x"\npattern = "a"\n')

    def test_the_list_of_the_repository_can_be_read(self):
        read_allowed(Path(__file__).resolve().parent.parent / "allowed.toml")

    def test_messages_are_of_one_kind_without_their_values(self):
        first = "error: standard input, line 4\n  caused by: the query failed\n  caused by: Cannot cast string 'x' to value of Int64 type"
        self.assertEqual(message_kind(first), message_kind(first.replace("'x'", "'yz'").replace("line 4", "line 77")))

    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "allowed.toml"
            path.write_text(text)
            return read_allowed(path)


if __name__ == "__main__":
    unittest.main()
