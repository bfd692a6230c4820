"""The model of the leases holds; and each of its rules is needed, since without it the limit breaks."""

import unittest

import leases


class Leases(unittest.TestCase):
    def test_the_limit_holds_in_every_state(self):
        count, way, _ = leases.explore(leases.Model())
        self.assertIsNone(way, f"after {count} states: {way}")
        self.assertGreater(count, 100_000)

    def test_each_rule_is_needed(self):
        for rule in leases.RULES:
            with self.subTest(rule=rule):
                _, way, _ = leases.explore(leases.Model(without=(rule,)))
                self.assertIsNotNone(way)


if __name__ == "__main__":
    unittest.main()
