"""The model of budgets holds in every world; and each of its rules is needed, since without it the budget does not."""

import unittest

import budgets


class Budgets(unittest.TestCase):
    def test_the_budget_holds_in_every_state_of_every_world(self):
        total = 0
        for world in budgets.WORLDS:
            with self.subTest(world=world):
                happened = set()
                count, way, why = budgets.explore(world, happened=happened)
                self.assertIsNone(way, way and budgets.tell(way, why))
                for text in HAPPENS[world]:  # it proves nothing about what it never comes to
                    self.assertTrue(any(text in what for what in happened), f"{text}: {sorted(happened)}")
                total += count
        self.assertGreater(total, 100_000)

    def test_each_rule_is_needed(self):
        for rule, world in budgets.RULES.items():
            with self.subTest(rule=rule):
                _, way, why = budgets.explore(world, (rule,))
                self.assertIsNotNone(way)
                self.assertRegex(why, EXPECTED[rule])
                self.assertRegex(budgets.tell(way, why).splitlines()[1], r"^  1\. .*\| ")


# What breaks without each rule: more could be spent than there is, or the books are wrong, or money is stuck.
TOO_MUCH = r"is billed and \d may be taken|and \d held, the limit is|worker \d can have 2 of 1"
WRONG = r"is spent$"
STUCK = r"-?\d is held$"
EXPECTED = {
    "row": TOO_MUCH, "sequence": TOO_MUCH, "aside": TOO_MUCH, "dead": STUCK, "left": STUCK, "slot": STUCK,
    "theirs": TOO_MUCH, "silent": TOO_MUCH, "once": WRONG + "|" + TOO_MUCH, "released": STUCK,
    "period": STUCK, "binding": TOO_MUCH, "newest": TOO_MUCH, "told": STUCK, "asked": STUCK, "expiry": TOO_MUCH,
    "reserved": WRONG, "settled": TOO_MUCH, "prompt": STUCK, "booked": TOO_MUCH,
}
HAPPENS = {
    "crowd": ["takes one"],
    "offices": ["another leader begins", "forgets the budget"],
    "claims": ["takes one", "comes to one", "comes to nothing", "waits no longer", "lets go", "is booked"],
    "deaths": ["is killed", "next process begins", "is given back"],
    "leaving": ["it leaves", "is refused", "another leader begins"],
    "forgetting": ["forgets the budget"],
    "silence": ["for a day", "was silent for 26 hours", "is given back"],
    "periods": ["the period ends", "two seconds are over"],
}

if __name__ == "__main__":
    unittest.main()
