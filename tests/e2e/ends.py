"""A connection at both its ends: what the client sent and was given, and what the broker was given and sent.

Requests must be equal, but for Metadata requests of the proxy's own, known by their correlation id, whose answers the
client must not see. An answer must be equal, or belong to an API whose answers are rewritten; those are left to
tests/java/WireDiff.java, which decodes both and allows for nothing but what is meant to change.
"""

import dataclasses
import struct

PRODUCE, FETCH, METADATA, FIND_COORDINATOR, API_VERSIONS, DESCRIBE_CLUSTER = 0, 1, 3, 10, 18, 60
SHARE_FETCH, SHARE_ACKNOWLEDGE = 78, 79
REWRITTEN = {PRODUCE, FETCH, METADATA, FIND_COORDINATOR, API_VERSIONS, DESCRIBE_CLUSTER, SHARE_FETCH,
             SHARE_ACKNOWLEDGE}
REBOOTSTRAP_REQUIRED = 129
ASKED_BY_PROXY = struct.pack(">i", -1 << 31)  # PS_ASK_CORRELATION_ID
PAIR = struct.Struct(">hhii")  # api, version, length before, length after; then both frames


@dataclasses.dataclass
class Account:
    """What was compared."""
    connections: int = 0
    requests: int = 0
    answers: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    decoded: int = 0          # answers of rewritten APIs, judged by Kafka's own classes
    changed: int = 0          # of those: not the same bytes
    asked: int = 0            # questions of the proxy's own
    left_behind: int = 0      # bytes on their way when the client ended its connection
    node_checks: int = 0      # ApiVersions requests that name the broker they are meant for (KIP-1242)
    wrong: list = dataclasses.field(default_factory=list)

    def figures(self):
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "wrong"}


def split(data):
    """The whole frames, and the beginning of another."""
    frames, at = [], 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if size < 0 or size > len(data) - at - 4:
            break
        frames.append(bytes(data[at:at + 4 + size]))
        at += 4 + size
    return frames, bytes(data[at:])


class Request:
    def __init__(self, frame):
        self.api, self.version, self.correlation, size = struct.unpack_from(">hhih", frame, 4)
        self.body_at = 14 + max(size, 0)
        self.frame = frame

    def __str__(self):
        return f"api {self.api} v{self.version} correlation {self.correlation}"

    def unanswered(self):
        """Produce with acks=0 is the one request without an answer."""
        if self.api != PRODUCE:
            return False
        at = self.body_at
        if self.version < 9:
            (size,) = struct.unpack_from(">h", self.frame, at)
            at += 2 + max(size, 0)
        else:
            at += 1  # no tags of its own in a header
            size, at = uvarint(self.frame, at)
            at += max(size - 1, 0)
        return struct.unpack_from(">h", self.frame, at)[0] == 0

    def names_node(self):
        """True for an ApiVersions v5 that says which broker it is meant for."""
        if self.api != API_VERSIONS or self.version < 5:
            return False
        at = self.body_at + 1
        for _ in range(3):  # software name, software version, cluster id
            size, at = uvarint(self.frame, at)
            at += max(size - 1, 0)
        return struct.unpack_from(">i", self.frame, at)[0] >= 0


def uvarint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, at
        shift += 7


class BrokerEnd:
    """A connection as the broker saw it, without what the proxy asked of its own accord."""

    def __init__(self, link):
        self.left_first = link.left_first
        frames, rest = split(link.up)
        asked = [frame for frame in frames if frame[8:12] == ASKED_BY_PROXY]
        self.asked = len(asked)
        self.strange = [frame for frame in asked if frame[4:6] != struct.pack(">h", METADATA)]
        self.up = b"".join(frame for frame in frames if frame[8:12] != ASKED_BY_PROXY) + rest if asked else \
            bytes(link.up)
        answers, self.down_rest = split(link.down)
        self.answers = [frame for frame in answers if not asked or frame[4:8] != ASKED_BY_PROXY]


def pair_up(near_links, far_links):
    """Each connection at the client with its own at the broker, which carried the same requests, or None."""
    left = [BrokerEnd(link) for link in far_links]
    for near in near_links:
        same = [far for far in left if far.up == near.up] or \
            [far for far in left if len(far.up) >= 14 and near.up.startswith(far.up)]
        # Connections of one client can ask the very same; then their answers tell them apart.
        match = same[0] if len(same) == 1 else min(same, key=lambda far: unlike(near, far), default=None)
        if match is not None:
            left.remove(match)
        yield near, match


def unlike(near, far):
    given = split(near.down)[0]
    return abs(len(given) - len(far.answers)) + sum(a != b for a, b in zip(given, far.answers))


def compare(account, near, far, pairs):
    """Adds one connection to the account, and the answers to be decoded to the file `pairs`."""
    name = near.client_id
    account.connections += 1
    account.bytes_up += len(near.up)
    account.bytes_down += len(near.down)
    if far is None:
        account.wrong.append(f"{name}: {len(near.up)} bytes of requests did not arrive as they were sent")
        return
    account.asked += far.asked
    account.wrong += [f"{name}: a request that nobody made: {frame[:80].hex()}" for frame in far.strange]
    if near.left_first == "server" and far.left_first == "client":
        account.wrong.append(f"{name}: the proxy ended the connection")
    client_left = near.left_first == "client"
    missing = len(near.up) - len(far.up)
    account.left_behind += missing
    if missing and not client_left:
        account.wrong.append(f"{name}: {missing} bytes of requests are missing at the broker")
    requests = [Request(frame) for frame in split(near.up)[0]]
    account.requests += len(requests)
    account.node_checks += sum(request.names_node() for request in requests)
    compare_answers(account, near, far, requests, client_left, pairs)


def compare_answers(account, near, far, requests, client_left, pairs):
    name = near.client_id
    sent, sent_rest = far.answers, far.down_rest
    given, given_rest = split(near.down)
    account.answers += len(given)
    if len(given) > len(sent):
        account.wrong.append(f"{name}: {len(given)} answers came of {len(sent)}")
    if (len(given) < len(sent) or given_rest) and not client_left:
        account.wrong.append(f"{name}: {len(sent) - len(given)} answers did not come, though the client waited")
    account.left_behind += sum(len(frame) for frame in sent[len(given):]) + len(sent_rest)
    waiting = (request for request in requests if not request.unanswered())
    for before, after in zip(sent, given):
        request = next(waiting, None)
        (correlation,) = struct.unpack_from(">i", before, 4)
        if request is None or request.correlation != correlation:
            account.wrong.append(f"{name}: an answer {correlation} came where {request} was asked")
            return
        if request.api == API_VERSIONS and struct.unpack_from(">h", before, 8)[0] == REBOOTSTRAP_REQUIRED:
            account.wrong.append(f"{name}: REBOOTSTRAP_REQUIRED: a connection reached another broker than it named")
        if request.api in REWRITTEN:
            pairs.write(PAIR.pack(request.api, request.version, len(before), len(after)) + before + after)
        elif before != after:
            account.wrong.append(f"{name}: the answer to {request} differs: {before[:80].hex()} {after[:80].hex()}")
