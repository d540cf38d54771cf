"""Proves that the comparison of both ends (ends.py) can fail: one byte more, less or other, in either direction."""

import io
import pathlib
import struct
import sys
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import ends  # noqa: E402

HEARTBEAT, METADATA = 12, 3
OWN = -1 << 31


def framed(body):
    return struct.pack(">i", len(body)) + body


def request(api, correlation, body=b"", version=1, client_id=b"me"):
    return framed(struct.pack(">hhih", api, version, correlation, len(client_id)) + client_id + body)


def produce(correlation, acks):
    return request(ends.PRODUCE, correlation, struct.pack(">hhi", -1, acks, 1000), version=7)


def answer(correlation, body=b"fine"):
    return framed(struct.pack(">i", correlation) + body)


def link(up, down, left_first="client"):
    return types.SimpleNamespace(up=bytearray(up), down=bytearray(down), left_first=left_first, client_id="me")


UP = request(HEARTBEAT, 1) + produce(2, 0) + request(METADATA, 3)
DOWN = answer(1) + answer(3)


def compared(near, *far):
    account, pairs = ends.Account(), io.BytesIO()
    for one, other in ends.pair_up([near], far):
        ends.compare(account, one, other, pairs)
    account.pairs = pairs.getvalue()
    return account


class Ends(unittest.TestCase):
    def wrong(self, near, *far):
        self.assertTrue(compared(near, *far).wrong)

    def right(self, near, *far):
        account = compared(near, *far)
        self.assertEqual(account.wrong, [])
        return account

    def test_equal(self):
        account = self.right(link(UP, DOWN), link(UP, DOWN))
        self.assertEqual((account.requests, account.answers, account.bytes_up), (3, 2, len(UP)))
        self.assertEqual(account.pairs[:4], struct.pack(">hh", METADATA, 1))

    def test_answers_tell_twins_apart(self):
        self.right(link(UP, DOWN), link(UP, answer(1, b"else") + answer(3)), link(UP, DOWN))

    def test_every_byte_of_a_request_counts(self):
        for at in range(len(UP)):
            other = bytearray(UP)
            other[at] ^= 1
            self.wrong(link(UP, DOWN), link(other, DOWN))

    def test_every_byte_of_an_answer_counts(self):
        for at in range(4, len(answer(1))):
            other = bytearray(DOWN)
            other[at] ^= 1
            self.wrong(link(UP, other), link(UP, DOWN))

    def test_what_is_missing(self):
        self.wrong(link(UP, DOWN, "server"), link(UP[:-1], DOWN, "server"))
        self.wrong(link(UP, answer(1), "server"), link(UP, DOWN, "server"))
        self.wrong(link(UP, DOWN), link(UP, answer(1)))
        self.wrong(link(UP, DOWN))

    def test_who_leaves_may_leave_things_behind(self):
        account = self.right(link(UP, answer(1) + b"\0"), link(UP[:-3], DOWN))
        self.assertEqual(account.left_behind, 3 + len(answer(3)))

    def test_the_proxy_may_not_leave(self):
        self.wrong(link(UP, DOWN, "server"), link(UP, DOWN, "client"))

    def test_an_answer_to_acks_0(self):
        self.wrong(link(UP, answer(1) + answer(2) + answer(3)), link(UP, answer(1) + answer(2) + answer(3)))

    def test_the_proxy_may_ask_for_metadata(self):
        asked = request(METADATA, OWN)
        far_up, far_down = UP + asked + request(HEARTBEAT, 4), DOWN + answer(OWN) + answer(4)
        near_up = UP + request(HEARTBEAT, 4)
        self.assertEqual(self.right(link(near_up, DOWN + answer(4)), link(far_up, far_down)).asked, 1)
        self.wrong(link(near_up, far_down), link(far_up, far_down))
        self.wrong(link(near_up, DOWN + answer(4)), link(far_up.replace(asked, request(HEARTBEAT, OWN)), far_down))

    def test_a_broker_that_is_not_the_one(self):
        body = b"\0" + b"\2x\2y\2z" + struct.pack(">i", 1)
        up = request(ends.API_VERSIONS, 1, body, version=5)
        self.assertEqual(self.right(link(up, answer(1)), link(up, answer(1))).node_checks, 1)
        refused = answer(1, struct.pack(">h", ends.REBOOTSTRAP_REQUIRED))
        self.wrong(link(up, refused), link(up, refused))


if __name__ == "__main__":
    unittest.main()
