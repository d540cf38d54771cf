"""What the wire carries: nothing changes without pressure, and nonsense ends one connection only."""

import random
import socket
import ssl
import struct
import time

from harness import until
from hop import Hop
from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client
from proxy import Penstock, policy
from scenarios import scenario

PRODUCE, FETCH, METADATA, FIND_COORDINATOR, API_VERSIONS, DESCRIBE_CLUSTER = 0, 1, 3, 10, 18, 60
WITHIN = 20  # s: whoever is to be closed is closed at once, on a starved machine as well; idle ones stay for minutes
REWRITTEN = {METADATA, FIND_COORDINATOR, API_VERSIONS, DESCRIBE_CLUSTER}


# --- bytes out equal bytes in -------------------------------------------------------------------------------------

def frames(data):
    at = 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if at + 4 + size > len(data):
            break
        yield bytes(data[at:at + 4 + size])
        at += 4 + size


def api_of_requests(link):
    """{correlation id: api key} of what the client asked on this connection."""
    return {struct.unpack_from(">i", frame, 8)[0]: struct.unpack_from(">h", frame, 4)[0] for frame in frames(link.up)}


def differences(near, far):
    """Compares one connection at the client with the same at the broker; yields what differs and may not."""
    apis = api_of_requests(near)
    sent, given = list(frames(far.down)), list(frames(near.down))
    if len(given) > len(sent):
        yield f"{near.client_id}: {len(given)} answers came of {len(sent)}"
    for number, (was, became) in enumerate(zip(sent, given)):
        (correlation,) = struct.unpack_from(">i", was, 4)
        api = apis.get(correlation)
        if struct.unpack_from(">i", became, 4)[0] != correlation:
            yield f"{near.client_id}: answer {number} has another correlation id"
        elif api not in REWRITTEN and was != became:
            yield f"{near.client_id}: answer {number} (api {api}) differs: {was[:80].hex()} {became[:80].hex()}"


def pairs(near_links, far_links):
    """Each connection at the client with its own at the broker: the one that carried the same requests."""
    left = list(far_links)
    for near in near_links:
        match = next((far for far in left if far.up == near.up), None)
        if match is not None:
            left.remove(match)
        yield near, match


def compare(context, near_links, far_links):
    compared = answers = 0
    wrong = []
    for near, far in pairs(near_links, far_links):
        if far is None:
            closest = max((shared(near.up, f.up) for f in far_links if f.client_id == near.client_id), default=0)
            wrong.append(f"{near.client_id}: {len(near.up)} bytes of requests did not arrive as they were sent; "
                         f"equal up to byte {closest}")
            continue
        compared += len(near.up)
        answers += len(near.down)
        wrong += differences(near, far)
    context.check("requests arrive and answers return byte for byte", not wrong, wrong[0] if wrong else
                  f"{len(near_links)} connections, {compared} bytes up, {answers} down")


def shared(one, other):
    for at, (a, b) in enumerate(zip(one, other)):
        if a != b:
            return at
    return min(len(one), len(other))


def client_side(context, proxy, brokers):
    """Hops at 127.0.0.2 on the proxy's own ports, which is the address that this proxy advertises."""
    hops = []
    for port in range(proxy.port, proxy.port + 1 + brokers):
        hops.append(Hop(("127.0.0.2", port), ("127.0.0.1", port), record=True, owners=False))
        context.at_end(hops[-1].close)
    return hops


@scenario(batch="transparent")
def transparent(context, cluster):
    topic, name = "transparent", "g-transparent"
    cluster.create(topic)
    proxy = Penstock(context, cluster, [policy("clicks", topic, name)], advertise="127.0.0.2")
    hops = client_side(context, proxy, len(cluster.brokers))
    far_hop = cluster.brokers[1].hop
    far_hop.record = True
    bootstrap = f"127.0.0.2:{proxy.port}"
    consumers = Consumers(context, "consumers", cluster, [group(name, topic, bootstrap, client_id="w-consumer")])
    java = Producers(context, "java", "java", [
        producer("w-java", bootstrap, stream(topic, 300), idempotence=True),
        producer("w-java-plain", bootstrap, stream(topic, 100, size=200), acks="1", compression_type="gzip")])
    lrk = Producers(context, "lrk", "lrk", [
        producer("w-lrk", bootstrap, stream(topic, 300)),
        producer("w-lrk-idem", bootstrap, stream(topic, 100, size=5000), idempotence=True)])
    kcat = context.spawn("kcat", ["kcat", "-b", bootstrap, "-X", "client.id=w-kcat", "-X",
                                  "auto.offset.reset=earliest", "-G", "g-kcat", topic])
    java.begun()
    lrk.begun()
    time.sleep(10)
    java.stop()
    lrk.stop()
    judge_no_waits(context, proxy, java, lrk)
    consumers.drain()
    kcat.popen.terminate()
    kcat.wait(15)
    records = Records(consumers)
    for client in [*java.each.values(), *lrk.each.values()]:
        judge_client(context, client)
        records.judge(context, client, ordered=client.spec["idempotence"])
    time.sleep(0.5)
    near = [link for hop in hops for link in hop.links if link.client_id]
    names = {link.client_id for link in near}
    context.check("clients of all kinds were recorded", {"w-java", "w-java-plain", "w-lrk", "w-lrk-idem", "w-kcat",
                  "w-consumer-0", "w-consumer-1"} <= names, sorted(names))
    compare(context, near, [link for link in far_hop.links if link.client_id in names and link.up is not None])
    proxy.stop()


def judge_no_waits(context, proxy, *producers):
    acked = sum(one.acked() for one in producers)
    context.check("no second was spent waiting", proxy.total("penstock_throttle_seconds_total") == 0,
                  proxy.total("penstock_throttle_seconds_total"))
    context.check("no request waits", proxy.total("penstock_waiting_requests") == 0)
    forwarded = proxy.total("penstock_records_total", outcome="forwarded")
    every = proxy.total("penstock_records_total")
    context.check("every record was forwarded and counted", forwarded == every == acked,
                  f"{forwarded:.0f} forwarded, {every:.0f} in all, {acked} acknowledged")


# --- nonsense -----------------------------------------------------------------------------------------------------

def request(api, version, body, correlation=7, client_id=b"g-cut", tagged=False):
    head = struct.pack(">hhih", api, version, correlation, len(client_id)) + client_id + (b"\0" if tagged else b"")
    return struct.pack(">i", len(head) + len(body)) + head + body


def produce_request(topics=1, correlation=7):
    """A Produce v7 of an unknown topic with one little batch, whose checksum nobody will get to see."""
    batch = struct.pack(">qiibIhiqqqhii", 0, 61 - 12 + 10, -1, 2, 0, 0, 0, 0, 0, -1, -1, -1, 1) + bytes(10)
    body = struct.pack(">hhii", -1, 1, 1000, topics) + struct.pack(">h", 4) + b"none" + struct.pack(">ii", 1, 0)
    return request(PRODUCE, 7, body + struct.pack(">i", len(batch)) + batch, correlation)


VALID = {
    "ApiVersions v3": request(API_VERSIONS, 3, b"\x05test\x021\x00", tagged=True),
    "Metadata v1": request(METADATA, 1, struct.pack(">ih", 1, 7) + b"garbage"),
    "Produce v7": produce_request(),
}


class Caller:
    def __init__(self, proxy):
        host, port = proxy.bootstrap.split(":")
        self.address = (host, int(port))

    def closed_after(self, data, timeout=WITHIN):
        """Sends, and returns True if the other side then closes (whatever it says first)."""
        with socket.create_connection(self.address, timeout=timeout) as s:
            try:
                s.sendall(data)
                while s.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
            except TimeoutError:
                return False
        return True

    def cut_after(self, data, timeout=WITHIN):
        """Sends a part of a frame, says goodbye, and returns True if the other side closes as well."""
        with socket.create_connection(self.address, timeout=timeout) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
            except TimeoutError:
                return False
        return True

    def answer(self, frame, pause=0.0):
        """The answer to a frame, sent byte by byte if there is a pause between them."""
        with socket.create_connection(self.address, timeout=WITHIN) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if pause:
                for byte in frame:
                    s.sendall(bytes([byte]))
                    time.sleep(pause)
            else:
                s.sendall(frame)
            data = b""
            while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
                more = s.recv(65536)
                if not more:
                    return b""
                data += more
            return data


def tls_hello(proxy):
    """What a client with security.protocol=SSL sends first."""
    host, port = proxy.bootstrap.split(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, int(port)), timeout=WITHIN) as s, context.wrap_socket(s):
            return False
    except TimeoutError:
        return False
    except OSError:  # ssl.SSLError is one
        return True


def mistakes(context, proxy, caller):
    """One connection for each likely mistake: it is closed, and the log says why."""
    cases = [
        ("an HTTP request", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "http_request"),
        ("a length of 2 GiB", struct.pack(">i", 0x7fffffff) + bytes(100), "frame_too_large"),
        ("a negative length", struct.pack(">i", -2) + bytes(100), "frame_length"),
        ("a length of nothing", struct.pack(">i", 0) + bytes(100), "frame_length"),
        ("an impossible count", produce_request(topics=0x7ffffff0), "malformed_request"),
    ]
    for what, data, reason in cases:
        before = proxy.process.err().count(f"reason={reason}")
        context.check(f"{what} is closed", caller.closed_after(data))
        logged = until_logged(proxy, f"reason={reason}", before)
        context.check(f"{what}: the log says {reason}", logged)
    context.check("a TLS hello is closed", tls_hello(proxy))
    context.check("a TLS hello: the log says tls_hello", until_logged(proxy, "reason=tls_hello", 0))


def until_logged(proxy, text, before):
    try:
        return until(text, lambda: proxy.process.err().count(text) > before, WITHIN)
    except TimeoutError:
        return False


def noise(context, caller, rounds=60):
    """Random bytes, of a seed that is printed. What looks like a frame to come is left open by us and then cut."""
    seed = random.randrange(1 << 32)
    source = random.Random(seed)
    stuck = sum(not caller.cut_after(source.randbytes(source.randrange(1, 3000))) for _ in range(rounds))
    context.check("random bytes: every connection ends", stuck == 0, f"seed {seed}, {stuck} stuck")


def cuts(context, caller):
    for what, frame in VALID.items():
        stuck = [size for size in range(1, len(frame)) if not caller.cut_after(frame[:size])]
        context.check(f"{what} cut at every byte: every connection ends", not stuck,
                      f"{len(frame) - 1} cuts" if not stuck else f"stuck at {stuck}")
        whole, dripped = caller.answer(frame), caller.answer(frame, pause=0.001)
        # Not compared byte by byte: the broker's epoch stands in it.
        context.check(f"{what} byte by byte gets its answer", whole and whole[:10] == dripped[:10]
                      and len(whole) == len(dripped), f"{len(whole)} and {len(dripped)} bytes")


@scenario(batch="wire")
def garbage(context, cluster):
    topic = "garbage"
    cluster.create(topic)
    proxy = Penstock(context, cluster, [policy("others", topic, "g-garbage")])
    others = Producers(context, "others", "lrk", [producer("others", proxy.bootstrap, stream(topic, 200))])
    others.begun()
    before = proxy.total("penstock_connections")
    caller = Caller(proxy)
    mistakes(context, proxy, caller)
    noise(context, caller)
    cuts(context, caller)
    deadline = time.monotonic() + 5
    while (after := proxy.total("penstock_connections")) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    context.check("no connection is left behind", after == before, f"{before:.0f} before, {after:.0f} after")
    acked = others.acked()
    time.sleep(2)
    context.check("others go on", others.acked() > acked)
    others.stop()
    judge_client(context, others.each["others"])
    lost = others.clients().get("others", {}).get("disconnects", -1)
    context.check("others lost no connection", lost == 0, lost)
    proxy.stop()
