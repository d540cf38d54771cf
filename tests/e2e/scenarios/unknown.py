"""APIs and versions that nobody knows yet: relayed, answered, counted; and what is never answered confuses nobody.

In front of the null broker (bench/), which answers whatever it does not know with zeros: no Kafka is needed.
"""

import concurrent.futures
import random
import socket
import struct
import threading
import time
import types

from harness import BUILD, PATIENCE, ports, until
from hop import Hop
from proxy import Penstock
from scenarios import scenario
from scenarios.wire import API_VERSIONS, METADATA, PRODUCE, produce_request, request

STUB = 7           # bytes of an answer to the unknown
UNKNOWN_KEY, UNKNOWN_VERSION = 200, 99
REQUESTS, CONNECTIONS = 150, 4


def unknown_produce(source, acks):
    """Of a version to come: all that the broker's stub reads of it is acks."""
    return b"\0\0" + struct.pack(">h", acks) + source.randbytes(source.randrange(0, 3000))


def next_request(source, correlation, counts):
    """(bytes, None or what the answer must be: its length, or 0 for any)"""
    kind = source.choice(["key", "version", "silent", "spoken", "metadata", "produce", "hello"])
    counts[kind] = counts.get(kind, 0) + 1
    if kind == "key":
        body = source.randbytes(source.randrange(0, 5000))
        return request(UNKNOWN_KEY, 3, body, correlation), 8 + STUB
    if kind == "version":
        body = source.randbytes(source.randrange(0, 500))
        return request(METADATA, UNKNOWN_VERSION, body, correlation), 8 + STUB
    if kind == "silent":
        return request(PRODUCE, UNKNOWN_VERSION, unknown_produce(source, 0), correlation), None
    if kind == "spoken":
        return request(PRODUCE, UNKNOWN_VERSION, unknown_produce(source, 1), correlation), 8 + STUB
    if kind == "metadata":
        return request(METADATA, 1, struct.pack(">i", 0), correlation), 0
    if kind == "produce":
        return produce_request(correlation=correlation), 0
    return request(API_VERSIONS, 2, b"", correlation), 0


def send_cut(source, connection, data):
    at = 0
    while at < len(data):
        size = source.choice([1, 3, 50, 3000, 60000])
        connection.sendall(data[at:at + size])
        at += size


def read_frames(connection, count):
    data = bytearray()
    frames = []
    while len(frames) < count:
        more = connection.recv(1 << 16)
        if not more:
            return frames
        data += more
        while len(data) >= 4 and len(data) >= 4 + struct.unpack_from(">i", data)[0]:
            size = 4 + struct.unpack_from(">i", data)[0]
            frames.append(bytes(data[:size]))
            del data[:size]
    return frames


def exchange(context, source, proxy, counts):
    """One connection; returns what is wrong with its answers."""
    wanted, data = [], b""
    for correlation in range(REQUESTS):
        frame, answer = next_request(source, correlation, counts)
        data += frame
        if answer is not None:
            wanted.append((correlation, answer))
    last, _ = request(METADATA, 1, struct.pack(">i", 0), REQUESTS), wanted.append((REQUESTS, 0))
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send_cut(source, connection, data + last)
        given = read_frames(connection, len(wanted))
    if len(given) != len(wanted):
        return f"{len(given)} answers of {len(wanted)}"
    for (correlation, size), frame in zip(wanted, given):
        if struct.unpack_from(">i", frame, 4)[0] != correlation:
            return f"an answer to {struct.unpack_from('>i', frame, 4)[0]} instead of {correlation}"
        if size and (len(frame) != size or any(frame[8:])):
            return f"the answer to {correlation} is not the broker's: {frame.hex()}"
    return None


def null_broker(context):
    """The port of a null broker."""
    port = ports()
    broker = context.spawn("null-broker", [BUILD / "asan/bench/bench_null_broker", "--listen", f"127.0.0.1:{port}",
                                           "--stub", STUB])
    until("the null broker listens", lambda: broker.alive() and not socket.socket().connect_ex(("127.0.0.1", port)))
    return port


@scenario(batch="apart")
def unknown_apis(context, _):
    port = null_broker(context)
    proxy = Penstock(context, types.SimpleNamespace(bootstrap=[f"127.0.0.1:{port}"]), first_id=0)
    seed = random.randrange(1 << 32)
    source, counts = random.Random(seed), {}
    wrong = [exchange(context, source, proxy, counts) for _ in range(CONNECTIONS)]
    context.check("every answer comes, in order, as the broker gave it", not any(wrong),
                  next((text for text in wrong if text), f"{CONNECTIONS * REQUESTS} requests") + f", seed {seed}")
    context.check("requests without an answer were among them", counts["silent"] > 0, counts)
    context.check("unknown keys are counted", proxy.total("penstock_requests_total", api="unknown") == counts["key"])
    versions = counts["version"] + counts["silent"] + counts["spoken"]
    context.check("unknown versions are counted", proxy.total("penstock_unknown_versions_total") == versions)
    context.check("nobody was cut off", proxy.total("penstock_errors_total") == 0,
                  proxy.total("penstock_errors_total"))
    proxy.stop()


class LateHop(Hop):
    """Whoever connects while `reads` is clear is read late, and then to the end; the broker behind never hears of it."""

    def __init__(self, *args, **more):
        self.reads = threading.Event()
        self.reads.set()
        super().__init__(*args, **more)

    def open(self):
        super().open()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)

    def _pump(self, link, source, sink, up):
        if not up or self.reads.is_set():
            return super()._pump(link, source, sink, up)
        self.reads.wait()
        while data := source.recv(1 << 16):
            link.up += data
        sink.shutdown(socket.SHUT_WR)


def leave_behind(proxy, size):
    """Sends one request that has no answer, and leaves."""
    body = b"\0\0" + struct.pack(">h", 0) + bytes(size)
    frame = request(PRODUCE, UNKNOWN_VERSION, body, client_id=b"leaver")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as connection:
        connection.sendall(frame)
    return len(frame)


@scenario(batch="apart")
def late_reader(context, _):
    """As with acks=0: a client may write and leave, and the broker is given it all, whenever it reads it."""
    hop = LateHop(("127.0.0.1", ports()), ("127.0.0.1", null_broker(context)), record=True, owners=False)
    context.at_end(hop.close)
    proxy = Penstock(context, types.SimpleNamespace(bootstrap=[f"127.0.0.1:{hop.port}"]), first_id=0)
    hop.reads.clear()
    sizes = [step * 96 * 1024 for step in range(1, 49)]
    with concurrent.futures.ThreadPoolExecutor(len(sizes)) as pool:
        leaving = [pool.submit(leave_behind, proxy, size) for size in sizes]
        time.sleep(8)  # longer than a proxy waits for a peer that has been told everything
        hop.reads.set()
        sent = sorted(one.result() for one in leaving)

    def arrived():
        return sorted(len(link.up) for link in hop.links if link.up)[-len(sent):]
    try:
        until("everything arrives", lambda: arrived() == sent)
    except TimeoutError:
        pass
    short = sum(sent) - sum(arrived())
    context.check("what a client left behind arrives, however late the broker reads it", not short,
                  f"{len(sent)} clients" if not short else f"{short} of {sum(sent)} bytes did not")
    proxy.stop()
