"""Proves that the judgement of exercises.py can fail: records lost, doubled, altered, displaced, aborted ones seen, and
members that never give a partition away. The library is one that keeps its records in memory."""

import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import exercises  # noqa: E402


class Memory(exercises.Library):
    """A topic as a list; `spoil` is what happens to it on its way back."""

    def __init__(self, spoil=lambda records: records, hide_aborted=True):
        self.spoil, self.hide_aborted = spoil, hide_aborted
        self.kept, self.open, self.aborted = [], [], set()

    def producer(self, client_id, **settings):
        return self

    def reader(self, client_id, topic, committed):
        hidden = self.aborted if committed and self.hide_aborted else set()
        return Reader(self.spoil([record for record in self.kept if record not in hidden]))

    def member(self, client_id, group, topic, protocol):
        return Greedy(self.kept)

    def send(self, topic, record):
        self.kept.append(record)
        self.open.append(record)

    def flush(self):
        pass

    def begin(self):
        self.open = []

    def commit(self):
        pass

    def abort(self):
        self.aborted.update(self.open)

    def close(self):
        pass


class Reader:
    def __init__(self, records):
        self.records = records

    def poll(self):
        records, self.records = self.records, []
        return records

    def at_end(self):
        return not self.records

    def close(self):
        pass


class Greedy(Reader):
    """A member that believes to own every partition, whoever else there is."""

    def partitions(self):
        return {0, 1, 2}

    def commit(self):
        return True


def perform(exercise, library):
    return exercises.perform(library, "test", exercise)


def altered(records):
    value = records[9].value
    return records[:9] + [records[9]._replace(value=value[:-1] + bytes([value[-1] ^ 1]))] + records[10:]


class Judgement(unittest.TestCase):
    def setUp(self):
        self.wait, exercises.WAIT = exercises.WAIT, 0.1

    def tearDown(self):
        exercises.WAIT = self.wait

    def fails(self, exercise, library, why):
        result, detail = perform(exercise, library)
        self.assertEqual(result, "failed")
        self.assertRegex(detail, why)

    def test_what_is_whole_passes(self):
        for exercise in ("acks_all", "idempotent", "codec_zstd", "size_1b", "txn_abort"):
            self.assertEqual(perform(exercise, Memory())[0], "ok", exercise)

    def test_a_record_lost(self):
        self.fails("acks_all", Memory(lambda records: records[1:]), "299 of 300 records read back")

    def test_a_record_twice(self):
        self.fails("acks_all", Memory(lambda records: records + records[:1]), "1 more than once")

    def test_a_record_altered(self):
        self.fails("acks_all", Memory(altered), "1 of 300 records missing, 0 more than once, 1 that nobody sent")

    def test_an_order_changed(self):
        displaced = Memory(lambda records: records[3:] + records[:3])
        self.fails("idempotent", displaced, "out of order")
        self.assertEqual(perform("acks_all", Memory(displaced.spoil))[0], "ok")

    def test_aborted_records_seen(self):
        self.fails("txn_abort", Memory(hide_aborted=False), "nobody sent")

    def test_partitions_that_do_not_move(self):
        self.fails("group_classic", Memory(), "partitions move to the second member: not within")

    def test_a_library_that_hangs(self):
        deadline, exercises.DEADLINE = exercises.DEADLINE, 1
        try:
            result = exercises.perform_apart(Memory(lambda records: time.sleep(30)), "test", "acks_1")
        finally:
            exercises.DEADLINE = deadline
        self.assertEqual(result, ("failed", "timeout: not done within 1 s"))

    def test_a_library_that_crashes(self):
        result = exercises.perform_apart(Memory(lambda records: os.abort()), "test", "acks_1")
        self.assertEqual(result, ("failed", "the exercise ended with -6"))


if __name__ == "__main__":
    unittest.main()
