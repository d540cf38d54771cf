"""The clients: producers of every library, Java's consumers, each many in one process; and one reader of whole topics."""

import itertools
import json
import struct
import subprocess

import clients
from harness import BUILD, PATIENCE, java, until

ACK = struct.Struct(">iqiqqi")       # origin, seq, partition, offset, acknowledged at (ms), took (ms)
FAILED = -2                          # in the place of an offset
ROW = struct.Struct(">iiqiqii")      # of read_back.c: topic, partition, offset, origin, seq, size, headers
_origins = itertools.count(1)


def stream(topic, rate=0, size=1000, partitions=0, keys=0):
    """Records for one topic; rate 0 means as fast as the client takes them. With `partitions` all clients but Java's fill
    them in turn, else as they like: with librdkafka's queue full, what it likes walks away from an even share. With
    `keys` record n has the key n modulo that."""
    return {"origin": next(_origins), "topic": topic, "rate": rate, "size": size, "partitions": partitions, "keys": keys}


def producer(client_id, bootstrap, *streams, acks="all", idempotence=False, codec="none", **props):
    """Keyword arguments become the client's properties: linger_ms=5 is linger.ms=5. All know that one; the others are for
    Java and librdkafka."""
    return {"client_id": client_id, "bootstrap": bootstrap, "acks": acks, "idempotence": idempotence, "codec": codec,
            "props": {key.replace("_", "."): str(value) for key, value in props.items()}, "streams": list(streams)}


def lines_of(process):
    for line in process.out().splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                pass  # the last line, while it is being written


class Client:
    """What became of one producer of a process."""

    def __init__(self, process, spec):
        self._process, self.spec = process, spec
        self.client_id = spec["client_id"]
        self.origins = [s["origin"] for s in spec["streams"]]

    def acks(self):
        """(origin, seq, partition, offset, acknowledged at (ms), took (ms)) of every acknowledged record."""
        for origin in self.origins:
            yield from (row for row in self._process.acks().get(origin, ()) if row[3] != FAILED)

    def failures(self):
        """The same of every record that the client gave up."""
        for origin in self.origins:
            yield from (row for row in self._process.acks().get(origin, ()) if row[3] == FAILED)

    def errors(self):
        return [line for line in self._process.errors()
                if line.get("origin") in self.origins or line.get("client") == self.client_id]

    def timeouts(self):
        """Requests that the client gave up waiting for."""
        if self._process.kind == "lrk":
            return self._process.clients().get(self.client_id, {"timeouts": -1})["timeouts"]
        return sum(1 for line in self._process.process.err().splitlines()
                   if f"clientId={self.client_id}]" in line and "due to request timeout" in line)


class Producers:
    """One process of producers: kind is "java", "lrk", or the name of a client in clients.py that is installed."""

    def __init__(self, context, name, kind, producers):
        self.context, self.name, self.kind = context, name, kind
        self.each = {spec["client_id"]: Client(self, spec) for spec in producers}
        self._acks_path = context.folder / f"{name}.acks"
        self._acks = None
        spec = context.folder / f"{name}.json"
        spec.write_text(json.dumps({"producers": producers}))
        if kind == "java":
            argv = java("ProducerLoad", spec, self._acks_path, heap=f"{192 + 64 * len(producers)}m")
        elif kind == "lrk":
            argv = [BUILD / "asan/tests/e2e/lrk_load", spec, self._acks_path]
        else:
            argv = [*clients.CLIENTS[kind].argv(), "--steady", spec, self._acks_path]
        self.process = context.spawn(name, argv)

    def status(self):
        """The newest {origin: {sent, acked, errors}}."""
        last = {}
        for line in lines_of(self.process):
            last = line.get("streams", last)
        return {int(origin): counts for origin, counts in last.items()}

    def acked(self):
        return sum(s["acked"] for s in self.status().values())

    def begun(self, timeout=PATIENCE):
        """Waits until every stream has had something acknowledged: clients take their time to start."""
        def all_served():
            if not self.process.alive():
                raise RuntimeError(f"{self.name} ended:\n{self.process.err()[-2000:]}")
            status = self.status()
            return status and all(counts["acked"] > 0 for counts in status.values())
        until(f"{self.name}: every stream is served", all_served, timeout)

    def stop(self, timeout=PATIENCE):
        """No more records; waits until those that were taken are acknowledged."""
        if self.process.alive():
            self.process.tell("stop")
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "killed: it did not flush in time"
        self.context.check(f"{self.name}: producers flushed and ended", code == 0, "" if code == 0 else code)

    def errors(self):
        return [line for line in lines_of(self.process) if "error" in line or "client_error" in line]

    def _final(self):
        return next((line for line in lines_of(self.process) if line.get("final")), {})

    def clients(self):
        """The clients' own counts of retries, timeouts and lost connections, from their last line."""
        return self._final().get("clients", {})

    def failures(self):
        """{error: how many records met it}, from the last line."""
        return self._final().get("failures", {})

    def acks(self):
        """{origin: [acknowledged record, ...]}, read once, after the end."""
        if self._acks is None:
            self._acks = {}
            data = self._acks_path.read_bytes()
            for row in ACK.iter_unpack(data[:len(data) - len(data) % ACK.size]):
                self._acks.setdefault(row[0], []).append(row)
        return self._acks


def group(name, topic, bootstrap, rate=2000, consumers=2, commit_ms=5000, partitions=4, client_id=None,
          transactional=False, **props):
    return {"group": name, "topic": topic, "bootstrap": bootstrap, "rate": rate, "consumers": consumers,
            "commit_ms": commit_ms, "partitions": partitions, "client_id": client_id or f"c-{name}",
            "transactional": transactional,
            "props": {key.replace("_", "."): str(value) for key, value in props.items()}}


class Consumers:
    """One process of consumer groups, which also measures true lag five times a second."""

    def __init__(self, context, name, cluster, groups, wait=True, hold=False):
        """wait: until every partition has its consumer. hold: they join their groups only when go() says so."""
        self.context, self.name, self.groups = context, name, groups
        self.consumed_path = context.folder / f"{name}.consumed"
        spec = context.folder / f"{name}.json"
        spec.write_text(json.dumps({"admin": cluster.direct, "sample_ms": 200, "hold": hold, "groups": groups}))
        self.process = context.spawn(name, java("ConsumerLoad", spec, self.consumed_path, heap="768m"))
        if wait and not hold:
            until(f"{name} assigned", lambda: self._ready())

    def go(self):
        self.process.tell("go")

    def _ready(self):
        if not self.process.alive():
            raise RuntimeError(f"{self.name} ended:\n{self.process.err()[-2000:]}")
        return any(line.get("ready") for line in lines_of(self.process))

    def samples(self, name):
        """[(t ms, ends, positions, done)] of one group."""
        return [(line["t"], line["groups"][name]["end"], line["groups"][name]["position"],
                 line["groups"][name]["done"]) for line in lines_of(self.process) if "groups" in line]

    def drain(self, timeout=PATIENCE):
        """Reads what is left at full speed and ends."""
        if self.process.alive():
            self.process.tell("drain")
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "killed: it did not reach the end in time"
        self.context.check(f"{self.name}: consumers read to the end", code == 0, "" if code == 0 else code)

    def errors(self):
        return [line for line in lines_of(self.process) if "error" in line]

    def kill(self):
        self.process.kill()


class Topics:
    """Whole topics, read back: [(partition, offset, origin, seq, size, headers), ...] by name."""

    def __init__(self, context, bootstrap, names, name="read-back", timeout=PATIENCE):
        path, self.records = context.folder / f"{name}.rows", {topic: [] for topic in names}
        process = context.spawn(name, [BUILD / "asan/tests/e2e/read_back", bootstrap, path, *names])
        if process.wait(timeout) != 0:
            raise RuntimeError(f"{name}: {process.err()[-500:]}")
        for topic, *row in ROW.iter_unpack(path.read_bytes()):
            self.records[names[topic]].append(row)
