"""Proves that the judges of actions.py can fail: each wrong thing in a cell is found, and a right one passes."""

import collections
import pathlib
import sys
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import actions  # noqa: E402

CALM = 100_000  # ms


def cell(client="java", action="shed", allowed=True, **said):
    one = actions.Cell(next(c for c in actions.CLIENTS if c.name == client),
                       next(a for a in actions.ACTIONS if a.name == action), allowed)
    one.said = collections.Counter(said)
    one.armed = True
    return one


def rows(*numbers):
    """As read back from partition 0."""
    return [(0, offset, 7, number, 200, 0) for offset, number in enumerate(numbers)]


def client(acked, failed=(), late=True, errors=()):
    """The last of what was acknowledged came in the calm at the end, at the pace of the cell."""
    end = [(7, number, 0, number, CALM + int((number - acked[0]) * 1000 / actions.RATE), 1) for number in acked]
    return types.SimpleNamespace(acks=lambda: end if late else [(*row[:4], 1, 1) for row in end],
                                 failures=lambda: [(7, number, -1, -2, 50, 0) for number in failed],
                                 errors=lambda: list(errors))


class Judges(unittest.TestCase):
    def judge(self, one, kept, moved=(), acked=None, failed=(), **more):
        """What was found wrong with a cell whose topic and divert topic hold these numbers."""
        acked = [*range(200)] if acked is None else acked
        actions.judge_proxy(one)
        numbers = actions.judge_topics(one, rows(*kept), rows(*moved))
        actions.judge_clients(one, [client(acked, failed, **more)], numbers, CALM)
        return {text.split(" (")[0] for text in one.wrong}

    def test_a_right_cell_passes(self):
        self.assertEqual(self.judge(cell(offered=200, forwarded=200), range(200)), set())
        self.assertEqual(self.judge(cell(offered=205, forwarded=200, shed=5), range(200), failed=range(200, 205)), set())
        self.assertEqual(self.judge(cell(action="divert", offered=200, forwarded=150, diverted=50), range(150),
                                    moved=range(150, 200)), set())
        self.assertEqual(self.judge(cell(action="sample", offered=200, forwarded=150, sampled_out=50), range(150)), set())

    def test_outcomes_must_add_up(self):
        self.assertIn("offered = the sum of the outcomes", self.judge(cell(offered=201, forwarded=200), range(200)))
        self.assertIn("nobody's records were dropped", self.judge(cell(offered=201, forwarded=200, dropped=1), range(200)))
        self.assertIn("no other action took any", self.judge(cell(offered=250, forwarded=200, diverted=50), range(200),
                                                             moved=range(200, 250)))

    def test_topics_must_hold_what_was_forwarded(self):
        self.assertIn("the topic holds what was forwarded", self.judge(cell(offered=201, forwarded=201), range(200)))
        self.assertIn("the divert topic holds what was diverted",
                      self.judge(cell(action="divert", offered=200, forwarded=150, diverted=50), range(150), range(150, 199)))
        self.assertIn("no record twice", self.judge(cell(offered=201, forwarded=201), [*range(200), 7]))
        self.assertIn("in order", self.judge(cell(offered=200, forwarded=200), [1, 0, *range(2, 200)]))

    def test_a_lost_record_is_found(self):
        self.assertIn("acknowledged and not there: what was sampled out or shed silently",
                      self.judge(cell(offered=199, forwarded=199), range(199)))

    def test_errors_must_be_what_was_shed(self):
        self.assertIn("failed: what was shed", self.judge(cell(offered=200, forwarded=200), range(200), failed=[200]))
        self.assertIn("what failed is not there", self.judge(cell(offered=202, forwarded=201, shed=1), range(201),
                                                             failed=[200]))
        self.assertIn("no error of the client itself",
                      self.judge(cell(offered=200, forwarded=200), range(200), errors=[{"client_error": "fatal"}]))

    def test_a_dead_producer_is_found(self):
        self.assertIn("healthy at the end", self.judge(cell(offered=200, forwarded=200), range(200), late=False))

    def test_actions_must_be_done_where_allowed_and_only_there(self):
        for one in (cell(offered=1, forwarded=1), cell(allowed=False, shed=1), cell(action="hold"),
                    cell(action="sample", forwarded=1)):
            actions.judge_action(one)
            self.assertTrue(one.wrong, one.name)


if __name__ == "__main__":
    unittest.main()
