import os
import unittest
from unittest import mock

from lakes import variables


class Variables(unittest.TestCase):
    def test_bluelake_is_started_without_variables_of_its_own(self):
        with mock.patch.dict(os.environ, {"BLUELAKE_TEST_SERVERS": "/there", "BLUELAKE_LAKE": "other", "PATH_OF_MINE": "1"}):
            started = variables()
        self.assertEqual([name for name in started if name.startswith("BLUELAKE")], [])
        self.assertEqual(started["PATH_OF_MINE"], "1")


if __name__ == "__main__":
    unittest.main()
