"""Topics named by id only (Produce v13): a policy holds for them at once, whatever Penstock has seen before.

Also: the metrics that clients push (KIP-714) arrive.
"""

import io
import socket
import struct
import time

import ends
from harness import PATIENCE, until
from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client
from proxy import Penstock, policy
from scenarios import scenario
from scenarios.wire import METADATA, PRODUCE, client_side

UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC = 100, 3


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def batch(value=b"by id"):
    """One record."""
    record = bytes([0, 0, 0, 1]) + bytes([2 * len(value)]) + value + b"\0"  # no key (-1), no headers
    records = bytes([2 * len(record)]) + record
    body = struct.pack(">hiqqqhii", 0, 0, 0, 0, -1, -1, -1, 1) + records
    return struct.pack(">qiibI", 0, 4 + 1 + 4 + len(body), -1, 2, crc32c(body)) + body


def frame(api, version, correlation, client_id, body):
    """A request with flexible header."""
    head = struct.pack(">hhih", api, version, correlation, len(client_id)) + client_id + b"\0"
    return struct.pack(">i", len(head) + len(body)) + head + body


def topic_id(cluster, topic):
    """Asked of the broker itself, so that no Metadata passes the proxy."""
    name = topic.encode()
    body = b"\x02" + bytes(16) + bytes([len(name) + 1]) + name + b"\0" + b"\0\0\0"
    with socket.create_connection(("127.0.0.1", cluster.brokers[1].direct), timeout=PATIENCE) as s:
        s.sendall(frame(METADATA, 12, 1, b"ids-test", body))
        data = receive(s)
    at = data.index(bytes([len(name) + 1]) + name) + 1 + len(name)
    return data[at:at + 16]


def receive(s):
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
        more = s.recv(4 if len(data) < 4 else 4 + struct.unpack_from(">i", data)[0] - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


class Raw:
    """A producer that knows ids, asks for nothing, and pipelines."""

    def __init__(self, hop):
        self.socket = socket.create_connection(("127.0.0.2", hop.port), timeout=PATIENCE)
        self.correlation = 0

    def produce(self, topic, acks=(-1,)):
        """To an id (bytes) or a name: a request for each of acks, in one piece; returns the error codes of those that
        are answered."""
        by_id = isinstance(topic, bytes)
        name = topic if by_id else bytes([len(topic) + 1]) + topic.encode()
        data = b""
        expected = []
        for ack in acks:
            self.correlation += 1
            topics = b"\x02" + name + b"\x02" + struct.pack(">i", 0) + bytes([len(batch()) + 1]) + batch() + b"\0\0"
            data += frame(PRODUCE, 13 if by_id else 9, self.correlation, b"ids-raw",
                          b"\0" + struct.pack(">hi", ack, 5000) + topics + b"\0")
            if ack != 0:
                expected.append(self.correlation)
        self.socket.sendall(data)
        errors = []
        for correlation in expected:
            answer = receive(self.socket)
            if struct.unpack_from(">i", answer, 4)[0] != correlation:
                raise ValueError(f"an answer to {answer[4:8].hex()} instead of {correlation}")
            errors.append(struct.unpack_from(">h", answer, 10 + len(name) + 5)[0])
        return errors

    def close(self):
        self.socket.close()


def ask(context, cluster, proxy, hop, when):
    """A policy sees what comes by an id that nobody has named."""
    raw = Raw(hop)

    def governed():
        """By its name, which tells nobody the id: so that the rule is there, however slow the machine is."""
        before = forwarded(proxy, "raw")
        raw.produce("ids-raw")
        return forwarded(proxy, "raw") > before
    until("the topic has its rule", governed, pause=0.5)
    asked, seen = proxy.total("penstock_topic_questions_total"), forwarded(proxy, "raw")
    errors = raw.produce(topic_id(cluster, "ids-raw"), acks=(-1, 0, 1))
    raw.close()
    context.check(f"{when}: an id that nobody has named is written to", errors == [0, 0], errors)
    until("records counted", lambda: forwarded(proxy, "raw") >= seen + 3)
    context.check(f"{when}: one question, and the policy saw every record",
                  proxy.total("penstock_topic_questions_total") == asked + 1, forwarded(proxy, "raw") - seen)


def forwarded(proxy, name):
    return proxy.total("penstock_records_total", policy=name, outcome="forwarded")


def throttled(proxy):
    return proxy.total("penstock_throttle_seconds_total", policy="load") > 0


def recreate(context, cluster, proxy, hop, java):
    """A topic of the same name and another id; the old one is another topic's that is no more."""
    old = topic_id(cluster, "ids-raw")
    for topic in ("ids-raw", "ids-again"):
        cluster.ask(op="delete", topic=topic)
    time.sleep(1)
    cluster.create("ids-raw", "ids-again", partitions=1)
    again = java.each["ids-java"].origins[1]
    acked = java.status()[again]["acked"]
    raw = Raw(hop)
    gone = raw.produce(old)
    raw.close()
    context.check("the id of a deleted topic is refused by the broker", gone[0] in (UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC),
                  gone)
    ask(context, cluster, proxy, hop, "recreated")
    until("the recreated topic is served", lambda: java.status()[again]["acked"] > acked + 50)
    context.check("the policy sees the recreated topic", forwarded(proxy, "again") > 0)


def ours(link):
    return link.client_id in ("ids-raw", "ids-java")


def judge_ends(context, hops, far_hop):
    """Byte for byte, but for our questions and their answers."""
    near = [link for hop in hops for link in hop.links if ours(link)]
    far = [link for link in far_hop.links if ours(link) and link.up is not None]
    account = ends.Account()
    for one, other in ends.pair_up(near, far):
        ends.compare(account, one, other, io.BytesIO())
    context.check("at both ends the same, but for our questions", not account.wrong and account.connections > 3,
                  account.wrong[:1] or f"{account.connections} connections, {account.bytes_up} bytes up")
    context.check("each question stands at the broker's end, and only there", account.asked >= 2, account.asked)


@scenario(batch="wire")
def topic_ids(context, cluster):
    cluster.create("ids-load")
    cluster.create("ids-raw", "ids-again", partitions=1)
    cluster.ask(op="telemetry", name="ids", clients="ids-java")
    proxy = Penstock(context, cluster, [policy("load", "ids-load", "g-ids"), policy("raw", "ids-raw", "g-raw"),
                                        policy("again", "ids-again", "g-again")], advertise="127.0.0.2")
    hops = client_side(context, proxy, len(cluster.brokers))
    far_hop = cluster.brokers[1].hop
    far_hop.record = True
    consumers = Consumers(context, "consumers", cluster, [group("g-ids", "ids-load", cluster.direct)])
    java = Producers(context, "java", "java", [producer("ids-java", f"127.0.0.2:{proxy.port}", stream("ids-load"),
                                                        stream("ids-again", 50), idempotence=True)])
    java.begun()
    ask(context, cluster, proxy, hops[1], "at first")
    until("the producer is slowed down", lambda: throttled(proxy))
    for hop in hops:
        hop.links.clear()
    far_hop.take(ours)  # other scenarios share it
    proxy.restart()
    ask(context, cluster, proxy, hops[1], "restarted")
    until("the producer is slowed down again", lambda: throttled(proxy))
    context.check("after the restart no topic passed without its name",
                  proxy.total("penstock_unresolved_topic_ids_total") == 0)
    recreate(context, cluster, proxy, hops[1], java)
    context.check("no topic but the deleted one passed without its name",
                  proxy.total("penstock_unresolved_topic_ids_total") <= 1,
                  proxy.total("penstock_unresolved_topic_ids_total"))
    pushes = until("metrics are pushed", lambda: cluster.pushed("ids-java"))
    context.check("the client's metrics arrive (KIP-714)", pushes > 0 and
                  proxy.total("penstock_requests_total", api="PushTelemetry") > 0, f"{pushes} pushes")
    proxy.bypass(True)
    java.stop()
    consumers.drain()
    judge_client(context, java.each["ids-java"])
    Records(consumers).judge_delivery(context)
    time.sleep(0.3)
    judge_ends(context, hops, far_hop)
    far_hop.record = False
    proxy.stop()
