"""Proves that the judges of measure.py can fail: a lost, a doubled and a displaced record, and lag out of bounds."""

import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import measure  # noqa: E402


class Notebook:
    """A context that only remembers its checks."""

    def __init__(self):
        self.failed = set()

    def check(self, what, passed, detail=""):
        if not passed:
            self.failed.add(what.split(": ")[-1])
        return passed

    measure = quality = check


def consumed(rows):
    """Consumers of one group whose file holds (partition, offset, origin, seq)."""
    file = tempfile.NamedTemporaryFile(delete=False)
    with file:
        for partition, offset, origin, seq in rows:
            file.write(measure.CONSUMED.pack(0, partition, offset, origin, seq, 5))
    return types.SimpleNamespace(groups=[{"group": "g"}], consumed_path=pathlib.Path(file.name))


def client(seqs):
    return types.SimpleNamespace(client_id="p", origins=[7], acks=lambda: [(7, seq, 0, seq, 0, 1) for seq in seqs])


def judge_records(rows, acked=(0, 1, 2)):
    notebook = Notebook()
    source = consumed(rows)
    records = measure.Records(source)
    source.consumed_path.unlink()
    records.judge_delivery(notebook)
    records.judge(notebook, client(acked), ordered=True)
    return notebook.failed


class RecordsTest(unittest.TestCase):
    def test_good(self):
        self.assertEqual(judge_records([(0, 0, 7, 0), (1, 0, 7, 1), (0, 1, 7, 2)]), set())

    def test_lost(self):
        self.assertEqual(judge_records([(0, 0, 7, 0), (0, 1, 7, 2)]), {"every acknowledged record was consumed"})

    def test_lost_at_the_end(self):
        self.assertEqual(judge_records([(0, 0, 7, 0), (0, 1, 7, 1)]), {"every acknowledged record was consumed"})

    def test_nothing_acknowledged(self):
        self.assertIn("every acknowledged record was consumed", judge_records([(0, 0, 7, 0)], acked=()))

    def test_doubled(self):
        self.assertEqual(judge_records([(0, 0, 7, 0), (0, 1, 7, 1), (0, 2, 7, 2), (1, 0, 7, 1)]), {"no duplicates"})

    def test_doubled_and_displaced(self):
        self.assertEqual(judge_records([(0, 0, 7, 0), (0, 1, 7, 1), (0, 2, 7, 2), (0, 3, 7, 1)]),
                         {"no duplicates", "in order per partition"})

    def test_displaced(self):
        self.assertEqual(judge_records([(0, 0, 7, 1), (0, 1, 7, 0), (0, 2, 7, 2)]), {"in order per partition"})

    def test_redelivered_is_no_duplicate(self):
        self.assertEqual(judge_records([(0, 0, 7, 0), (0, 1, 7, 1), (0, 1, 7, 1), (0, 2, 7, 2)]),
                         {"nothing redelivered or skipped"})

    def test_skipped(self):
        self.assertIn("nothing redelivered or skipped", judge_records([(0, 0, 7, 0), (0, 2, 7, 1), (0, 3, 7, 2)]))


class LagTest(unittest.TestCase):
    def judge(self, lags):
        notebook = Notebook()
        measure.judge_lag(notebook, "x", [(t, lag) for t, lag in enumerate(lags)], 100, 3, len(lags))
        return notebook.failed

    def test_bounds(self):
        self.assertEqual(self.judge([0, 190, 150, 100, 100]), set())
        strict, about = "settled, lag always in 0.6 to 1.4 target", "settled, lag about its target"
        self.assertEqual(self.judge([0, 201, 150, 100, 100]), {"peak lag <= 2.00 target"})
        self.assertEqual(self.judge([0, 100, 100, 59, *[100] * 20]), {strict})
        self.assertEqual(self.judge([0, 100, 100, 100, *[100] * 20, 141]), {strict})
        self.assertEqual(self.judge([0, 100, 100, 59, 59, *[100] * 15]), {strict, about})
        self.assertEqual(self.judge([0, 100, 100, *[74] * 20]), {about})
        self.assertEqual(self.judge([0, 100, 100, *[126] * 20]), {about})
        self.assertEqual(self.judge([0, 100]), {"lag was sampled"})

    def test_series_begins_with_the_first_record_and_keeps_the_last_position(self):
        samples = [(1000, [0, 0], [-1, -1], 0), (2000, [5, 5], [0, -1], 0), (3000, [9, 9], [4, 2], 6)]
        later = [(4000, [20, 20], [-1, -1], 0)]
        self.assertEqual(measure.lag_series(samples, later), ([(0.0, 10), (1.0, 12), (2.0, 34)], 2000))

    def test_a_consumer_that_has_nothing_to_read_is_seen_behind_one_that_has(self):
        full, half = (0, [9, 9, 9, 9], [5, 5, 5, 5], 0), (0, [9, 9, 9, 9], [1, 1, 9, 9], 0)
        self.assertEqual(measure.looks_dry([full] * 10, 0, 1), (0, 20))
        self.assertEqual(measure.looks_dry([full] * 9 + [half], 0, 1), (1, 20))
        self.assertEqual(measure.looks_dry([full, (0, [9] * 4, [9, -1, 9, 9], 0)], 0, 1), (0, 2))
        for dry, failed in ((1, set()), (2, {"consumers had something to read at 97 % of all looks"})):
            notebook = Notebook()
            samples = [(t, ends, positions, 10 * t) for t, (_, ends, positions, _) in
                       enumerate([full] * (26 - dry) + [half] * dry)]
            measure.judge_busy(notebook, "x", samples, 10000, 0, 26)
            self.assertEqual(notebook.failed, failed)

    def test_utilisation(self):
        samples = [(0, [], [], 0), (1000, [], [], 90), (2000, [], [], 190)]
        self.assertAlmostEqual(measure.utilisation(samples, 100, 0, 2000), 0.95)


if __name__ == "__main__":
    unittest.main()
