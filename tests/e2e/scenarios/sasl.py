"""SASL passes: every mechanism, old and new handshakes, names told again in mid-stream, and tenants by name."""

import base64
import hashlib
import hmac
import itertools
import re
import socket
import struct
import subprocess
import time

from ends import split
from harness import PATIENCE, happens
from kafka import BEARER, MECHANISMS, MODULES, PLAIN, SCRAM_256, SCRAM_512, USERS, password_of
from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client
from proxy import Penstock, policy, yaml
from scenarios import scenario
from scenarios.divert import FEW, Replay, fill, judge_back
from scenarios.wire import client_side, compare

HANDSHAKE, AUTHENTICATE, API_VERSIONS, METADATA = 17, 36, 18, 3
WRONG, REFUSED = "Invalid username or password", "invalid credentials"  # in the broker's words
_numbers = itertools.count(1)
TERMS = 3  # a Java client is to authenticate so often on one connection


def java_login(mechanism, user, password=None):
    if mechanism == BEARER:
        module = f'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="{user}"'
    else:
        kind = "plain.Plain" if mechanism == PLAIN else "scram.Scram"
        module = f'{kind}LoginModule required username="{user}" password="{password or password_of(user)}"'
    return {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism, "sasl_jaas_config": f"{MODULES}.{module};"}


def kcat_login(mechanism, user, password=None):
    if mechanism == BEARER:
        props = {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": f"principal={user}"}
    else:
        props = {"sasl.username": user, "sasl.password": password or password_of(user)}
    for key, value in {"security.protocol": "sasl_plaintext", "sasl.mechanism": mechanism, **props}.items():
        yield from ("-X", f"{key}={value}")


def kcat(bootstrap, client_id, login, *args, text=None, timeout=PATIENCE):
    argv = ["kcat", "-b", bootstrap, "-X", f"client.id={client_id}", *login, "-m", str(PATIENCE // 2), *args]
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=timeout)


def kcat_told(context, bootstrap, client_id, login, *words):
    """What it says when it lists the cluster: until one of these words is there, or it has ended. Once refused it does not
    try again, so that no connection of it is cut in the middle."""
    patient = [word for key in ("backoff.ms", "backoff.max.ms") for word in ("-X", f"reconnect.{key}=600000")]
    process = context.spawn(f"kcat-{next(_numbers)}", ["kcat", "-b", bootstrap, "-X", f"client.id={client_id}", *login,
                                                       *patient, "-L", "-m", str(PATIENCE)])
    happens(lambda: any(word in process.err() for word in words) or not process.alive())
    process.kill()
    return process.err()


# --- clients that speak the handshake of Kafka 0.10 ----------------------------------------------------------------

class Raw:
    """A client of raw tokens: no header around them, in either direction."""

    def __init__(self, address, client_id):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client_id = client_id.encode()
        self.correlation = 0

    def send(self, data, cut=None):
        """In pieces of `cut` bytes, each on its own."""
        for at in range(0, len(data), cut or len(data)):
            self.socket.sendall(data[at:at + (cut or len(data))])
            if cut:
                time.sleep(0.002)

    def receive(self):
        """One frame or token; None at the end of the connection."""
        head = self._exactly(4)
        return None if head is None else self._exactly(struct.unpack(">i", head)[0])

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                return None
            data += more
        return data

    def request(self, api, version, body):
        self.correlation += 1
        data = struct.pack(">hhih", api, version, self.correlation, len(self.client_id)) + self.client_id + body
        return struct.pack(">i", len(data)) + data

    def handshake(self, mechanism):
        """ApiVersions as the first, as clients do; then the mechanism. Returns the error code."""
        self.send(self.request(API_VERSIONS, 0, b""))
        self.receive()
        name = mechanism.encode()
        self.send(self.request(HANDSHAKE, 0, struct.pack(">h", len(name)) + name), cut=5)
        return struct.unpack_from(">h", self.receive(), 4)[0]

    def metadata(self):
        return self.request(METADATA, 1, struct.pack(">i", 0))

    def brokers(self):
        """[(host, port)] of the answer to metadata()."""
        answer = self.receive()
        (count,) = struct.unpack_from(">i", answer, 4)
        at, found = 8, []
        for _ in range(count):
            (size,) = struct.unpack_from(">h", answer, at + 4)
            host = answer[at + 6:at + 6 + size].decode()
            (port,) = struct.unpack_from(">i", answer, at + 6 + size)
            found.append((host, port))
            at += 6 + size + 4 + 2  # no rack
        return found


def token(data):
    return struct.pack(">i", len(data)) + data


def plain_token(user, password=None):
    return token(f"\0{user}\0{password or password_of(user)}".encode())


def bearer_token(user, age=0):
    def part(text):
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    now = int(time.time()) - age
    claims = f'{{"iat":{now},"exp":{now + 600},"sub":"{user}"}}'
    return token(f'n,,\x01auth=Bearer {part("""{"alg":"none"}""")}.{part(claims)}.\x01\x01'.encode())


def raw_scram(client, user):
    """RFC 5802 with SHA-256. True if the broker could prove that it knows the password, too."""
    nonce = "cGVuc3RvY2s"
    first = f"n={user},r={nonce}"
    client.send(token(f"n,,{first}".encode()), cut=7)
    answer = client.receive().decode()
    theirs = dict(part.split("=", 1) for part in answer.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password_of(user).encode(), base64.b64decode(theirs["s"]), int(theirs["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={theirs['r']}"
    said = f"{first},{answer},{final}".encode()
    proof = bytes(a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), said, "sha256")))
    client.send(token(f"{final},p={base64.b64encode(proof).decode()}".encode()), cut=11)
    expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")
    return client.receive() == b"v=" + base64.b64encode(expected)


def raw_clients(context, proxy, address):
    expected = [("127.0.0.2", proxy.port + 1)]
    plain = Raw(address, "r-plain")
    context.check("raw: the broker agrees to PLAIN in handshake v0", plain.handshake(PLAIN) == 0)
    plain.send(plain_token("ads-plain") + plain.metadata())  # the next request right behind the last token
    context.check("raw: PLAIN is answered with an empty token", plain.receive() == b"")
    found = plain.brokers()
    context.check("raw: addresses are rewritten after PLAIN", found == expected, found)
    scram = Raw(address, "r-scram")
    scram.handshake(SCRAM_256)
    context.check("raw: SCRAM-SHA-256, both prove themselves", raw_scram(scram, "ads-scram256"))
    scram.send(scram.metadata(), cut=3)
    found = scram.brokers()
    context.check("raw: addresses are rewritten after SCRAM", found == expected, found)
    bearer = Raw(address, "r-bearer")
    bearer.handshake(BEARER)
    bearer.send(bearer_token("ads-bearer"), cut=50)
    context.check("raw: OAUTHBEARER is answered with an empty token", bearer.receive() == b"")
    bearer.send(bearer.metadata())
    found = bearer.brokers()
    context.check("raw: addresses are rewritten after OAUTHBEARER", found == expected, found)
    raw_mistakes(context, address)
    return plain, scram, bearer


def raw_mistakes(context, address):
    wrong = Raw(address, "r-wrong")
    wrong.handshake(PLAIN)
    wrong.send(plain_token("ads-plain", "guess"))
    context.check("raw: a wrong password ends in a close", wrong.receive() is None)
    bearer = Raw(address, "r-wrong-bearer")
    bearer.handshake(BEARER)
    bearer.send(bearer_token("ads-bearer", age=5000))
    told = bearer.receive()
    context.check("raw: an expired bearer is told so", told is not None and b"status" in told, told)
    bearer.send(token(b"\x01"))
    context.check("raw: and then the broker closes", bearer.receive() is None)
    unknown = Raw(address, "r-unknown")
    error = unknown.handshake("GSSAPI")
    context.check("raw: a mechanism that is not enabled: error 33", error == 33, error)


# --- the scenario ----------------------------------------------------------------------------------------------------

def short_clients(context, cluster, bootstrap, topic):
    """librdkafka with every mechanism: 200 records in, and all of them out again.

    Brokers since Kafka 4.0 check the nonce of SCRAM and do not let versions before 2.6.1 in, that of Debian 12 among
    them (confluentinc/librdkafka#4895); these must be told the same with Penstock as without.
    """
    for number, mechanism in enumerate(MECHANISMS):
        login = list(kcat_login(mechanism, USERS[mechanism][0]))
        if "SCRAM" in mechanism and REFUSED in kcat_told(context, cluster.bootstrap[0], "d-kcat", login, REFUSED):
            told = kcat_told(context, bootstrap, f"k-{number}-l", login, REFUSED)
            context.check(f"librdkafka with {mechanism}: refused by the broker, with Penstock as without", REFUSED in told,
                          told[-200:])
            continue
        lines = "".join(f"{mechanism} {i}\n" for i in range(200))
        written = kcat(bootstrap, f"k-{number}-p", login, "-P", "-t", topic, "-p", str(number), text=lines)
        read = kcat(bootstrap, f"k-{number}-c", login, "-C", "-t", topic, "-p", str(number), "-e", "-q")
        context.check(f"librdkafka with {mechanism}: 200 records in and out", read.stdout == lines,
                      (written.stderr + read.stderr)[-300:])


def refused(context, bootstrap):
    for mechanism, user in ((PLAIN, "ads-plain"), (SCRAM_512, "web-scram512")):
        told = kcat_told(context, bootstrap, "k-wrong", kcat_login(mechanism, user, "guess"), WRONG, REFUSED)
        context.check(f"a wrong password is told in the broker's words, {mechanism}",
                      re.search(rf"Authentication failed.*({WRONG}|{REFUSED})", told),
                      told.replace("\n", " ")[:200])


def judge_reauthentication(context, links):
    """Handshakes in mid-stream, among produce requests of the same connection."""
    most = {}
    for link in links:
        apis = [struct.unpack_from(">h", frame, 4)[0] for frame in split(link.up)[0]]
        most[link.client_id] = max(most.get(link.client_id, 0), apis.count(HANDSHAKE) if 0 in apis else 0)
    for client_id, times in sorted(most.items()):
        context.check(f"{client_id} authenticated {TERMS} times or more on one connection", times >= TERMS, times)


def judge_bytes(context, near, far):
    """Raw tokens have no correlation ids, and a broker that closes in the middle (a wrong name, or on a slow machine one
    that was not told again in time) has read no more than a part: of these connections only requests are compared."""
    whole = [link for link in near if not link.client_id.startswith("r-") and link.left_first != "server"]
    compare(context, whole, far)
    rest = [link for link in near if link not in whole]
    lost = [link.client_id for link in rest if not any(one.client_id == link.client_id and
            (link.up == one.up or (one.left_first == "server" and link.up.startswith(one.up))) for one in far)]
    context.check("raw tokens, and what a broker closed, arrive byte for byte", rest and not lost,
                  f"{len(rest)} connections; lost: {lost}")


def judge_tenants(context, proxy, acked):
    """The policy is about the tenant ads alone: what others send is exempt. A retry is counted again."""
    ads = sum(n for user, n in acked.items() if user.startswith("ads-"))
    web = sum(n for user, n in acked.items() if not user.startswith("ads-"))
    forwarded = proxy.total("penstock_records_total", policy="ads-only", outcome="forwarded")
    exempt = proxy.total("penstock_records_total", policy="ads-only", outcome="exempt")
    context.check("the policy counts what principals of its tenant sent, and nothing else",
                  0 < ads <= forwarded <= 1.1 * ads and 0 < web <= exempt <= 1.1 * web,
                  f"{forwarded:.0f}, {exempt:.0f}: {acked}")


def principals(proxy):
    """{client id: principal} from the log's lines of closes."""
    closes = re.findall(r"close .*client_id=(\S+) .*principal=(\S*)", proxy.process.err())
    return {client_id: principal.strip('"') for client_id, principal in closes}


def lags(proxy):
    """The groups that have one."""
    return {labels["group"] for labels, _ in proxy.metrics().get("penstock_consumer_lag_records", [])}


def told_wrong(client):
    return any("SaslAuthenticationException" in line.get("error", "") and
               "Invalid username or password" in line.get("error", "") for line in client.errors())


@scenario(batch="sasl")
def sasl(context, cluster):
    topic, name = "sasl", "g-sasl"
    cluster.create(topic, "sasl-kcat")
    secret = context.folder / "sasl.password"
    secret.write_text(password_of("penstock") + "\n")
    upstream = {"bootstrap": cluster.bootstrap,
                "sasl": {"mechanism": PLAIN, "username": "penstock", "password_file": str(secret)}}
    tenants = [{"name": "ads", "match": {"principal": "User:ads-*"}}]
    proxy = Penstock(context, cluster, [policy("ads-only", topic, name, target="500k", limit="900k", tenants=["ads"])],
                     advertise="127.0.0.2", extra={"upstream": upstream, "tenants": tenants, "log": {"level": "debug"}})
    hops = client_side(context, proxy, 1)
    far_hop = cluster.brokers[1].hop
    far_hop.record = True
    bootstrap = f"127.0.0.2:{proxy.port}"
    consumers = Consumers(context, "consumers", cluster, [
        group(name, topic, bootstrap, rate=100000, client_id="j-consumer", **java_login(SCRAM_512, "web-scram512"))],
        wait=False)
    users = {PLAIN: "web-plain", SCRAM_256: "ads-scram256", SCRAM_512: "web-scram512", BEARER: "ads-bearer"}
    java = Producers(context, "java", "java", [
        producer(f"j-{user}", bootstrap, stream(topic, 200), idempotence=True, **java_login(mechanism, user))
        for mechanism, user in users.items()])
    wrong = Producers(context, "wrong", "java", [
        producer("j-wrong", bootstrap, stream(topic, 10), max_block_ms=3000, **java_login(PLAIN, "ads-plain", "guess"))])
    java.begun()
    begun = time.monotonic()
    short_clients(context, cluster, bootstrap, "sasl-kcat")
    refused(context, bootstrap)
    raw = raw_clients(context, proxy, ("127.0.0.2", proxy.port))
    time.sleep(max(0.0, begun + 14 - time.monotonic()))  # two terms of 5 s, of which a client waits for 85 % to 95 %
    context.check("Penstock reads the lag under its own name", happens(lambda: name in lags(proxy)), lags(proxy))
    java.stop()
    consumers.drain()
    context.check("Java is told of a wrong password as by the broker", happens(lambda: told_wrong(wrong)), wrong.errors()[:2])
    wrong.process.kill()
    records = Records(consumers)
    for client in java.each.values():
        judge_client(context, client)
        records.judge(context, client, ordered=True)
    judge_tenants(context, proxy, {user: sum(1 for _ in java.each[f"j-{user}"].acks()) for user in users.values()})
    for client in raw:
        client.socket.close()
    time.sleep(1)
    near = [link for hop in hops for link in hop.links if link.client_id]
    judge_bytes(context, near, [link for link in far_hop.links if link.client_id and link.up is not None])
    judge_reauthentication(context, [link for link in near if link.client_id in {f"j-{u}" for u in users.values()}])
    proxy.stop()
    named = principals(proxy)
    expected = {**{f"j-{user}": f"User:{user}" for user in users.values()}, "j-wrong": "", "r-plain": "User:ads-plain",
                "r-scram": "User:ads-scram256", "r-bearer": "User:ads-bearer", "r-wrong": "", "r-wrong-bearer": "",
                "k-wrong": "", "penstock-lag": None}
    differ = {k: named.get(k) for k, v in expected.items() if named.get(k) != v}
    context.check("the log names each client as the broker accepted it", not differ, differ)
    log = proxy.process.err() + proxy.process.out()
    context.check("no password and no token is in the log", "secret" not in log and "guess" not in log)


@scenario(batch="sasl")
def sasl_replay(context, cluster):
    """`penstock replay` makes itself known as upstream.sasl says."""
    for topic, partitions in (("back-a", 3), ("back-b", 2), ("over", 3)):
        cluster.create(topic, partitions=partitions)
    fill(cluster, 0, FEW)
    secret, path = context.folder / "replay.password", context.folder / "replay.yaml"
    secret.write_text(password_of("penstock") + "\n")
    login = {"mechanism": PLAIN, "username": "penstock", "password_file": str(secret)}
    path.write_text(yaml({"upstream": {"bootstrap": cluster.bootstrap, "sasl": login}, "policies": [
        policy("over", "back-*", "g-back", actions=["divert"], divert={"topic": "over"})]}))
    Replay(context, path, "over").ended("a replay with a name and a password brings everything back")
    judge_back(context, cluster, FEW, 0)
