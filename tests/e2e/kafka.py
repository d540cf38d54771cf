"""Real Kafka clusters (KRaft, one node or three) on random ports of the loopback.

Every broker has two listeners for clients. DIRECT is for the tests themselves and for consumers that do not pass
through the proxy. PROXIED is the one that Penstock is told of; with hops, the address that it advertises is that of a
Hop, which sees every connection, may record it and may cut it. With sasl, PROXIED serves only who has a name (USERS).
"""

import base64
import json
import os
import shutil
import subprocess
import threading
import uuid

from harness import KAFKA_VERSION, PATIENCE, Process, WORK, classes, java, jars, ports, say, until
from hop import Hop


TELEMETRY = {"metric.reporters": "TelemetryReceiver"}  # as settings: brokers offer the telemetry APIs
REAUTHENTICATE_MS = 5000
MODULES = "org.apache.kafka.common.security"
PLAIN, SCRAM_256, SCRAM_512, BEARER = MECHANISMS = "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"
USERS = {PLAIN: ["ads-plain", "web-plain", "penstock"], SCRAM_256: ["ads-scram256"], SCRAM_512: ["web-scram512"],
         BEARER: ["ads-bearer"]}


def password_of(user):
    return f"{user}-secret"


def sasl_settings():
    """Of the listener PROXIED: every mechanism, unsecured tokens for bearers, and names that expire."""
    users = " ".join(f'user_{user}="{password_of(user)}"' for user in USERS[PLAIN])
    modules = {PLAIN: f"{MODULES}.plain.PlainLoginModule required {users};",
               SCRAM_256: f"{MODULES}.scram.ScramLoginModule required;",
               SCRAM_512: f"{MODULES}.scram.ScramLoginModule required;",
               BEARER: f"{MODULES}.oauthbearer.OAuthBearerLoginModule required;"}
    return {"listener.security.protocol.map": "DIRECT:PLAINTEXT,PROXIED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "connections.max.reauth.ms": REAUTHENTICATE_MS,
            **{f"listener.name.proxied.{mechanism.lower()}.sasl.jaas.config": module
               for mechanism, module in modules.items()}}


def scram_users():
    """The options of StorageTool that make them."""
    for mechanism in (SCRAM_256, SCRAM_512):
        for user in USERS[mechanism]:
            yield from ("--add-scram", f"{mechanism}=[name={user},password={password_of(user)}]")


class Broker:
    def __init__(self, cluster, node):
        self.cluster = cluster
        self.node = node
        first = ports(3)
        self.direct, self.proxied, self.controller = first, first + 1, first + 2
        self.hop = Hop(("127.0.0.1", ports()), ("127.0.0.1", self.proxied), owners=cluster.owners) if cluster.hops else None
        self.advertised = self.hop.port if self.hop else self.proxied
        self.folder = cluster.folder / f"node-{node}"
        self.process = None
        self.dead = False

    def configure(self, voters):
        """Writes the settings and begins to format the storage."""
        replicas = len(self.cluster.brokers)
        settings = {
            "process.roles": "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": voters,
            "listeners": f"DIRECT://127.0.0.1:{self.direct},PROXIED://127.0.0.1:{self.proxied},"
                         f"CONTROLLER://127.0.0.1:{self.controller}",
            "advertised.listeners": f"DIRECT://127.0.0.1:{self.direct},PROXIED://127.0.0.1:{self.advertised}",
            "listener.security.protocol.map": "DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "DIRECT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data",
            "log.segment.bytes": 128 << 20,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "auto.create.topics.enable": "false",
            "auto.leader.rebalance.enable": "false",
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "broker.heartbeat.interval.ms": 1000,
            # One that is starved for a moment is not given up where nobody could take its place.
            "broker.session.timeout.ms": 4000 if replicas > 1 else 60000,
            **(sasl_settings() if self.cluster.sasl else {}),
            **self.cluster.settings,
        }
        self.folder.mkdir(parents=True)
        (self.folder / "server.properties").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        return Process("format", java("kafka.tools.StorageTool", "format", "-t", self.cluster.uuid, "-c",
                                      self.folder / "server.properties", *(scram_users() if self.cluster.sasl else ()),
                                      version=self.cluster.version), self.folder)

    def start(self):
        if self.hop and self.dead:
            self.hop.open()
        self.dead = False
        heap = "512m" if len(self.cluster.brokers) == 1 else "384m"
        self.process = Process("kafka", java("kafka.Kafka", self.folder / "server.properties", heap=heap,
                                             version=self.cluster.version), self.folder)

    def kill(self):
        """As a process dies: its port refuses, at the address that it advertised as well."""
        self.process.kill()
        self.dead = True
        if self.hop:
            self.hop.close()

    def stop(self):
        """At once: nobody reads its data again."""
        if self.process is not None:
            self.process.kill()
        if self.hop:
            self.hop.close()


def cluster_id():
    """As Kafka's own: one that began with a dash would be taken for an option of kafka-storage."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


class Cluster:
    def __init__(self, nodes, hops=False, sasl=False, version=KAFKA_VERSION, settings=None, owners=True):
        """settings: what server.properties says besides, or instead. owners: see Hop."""
        classes()
        self.version, self.settings = version, settings or {}
        self.hops, self.sasl, self.owners = hops, sasl, owners
        self.uuid = cluster_id()
        self.folder = WORK / "clusters" / f"{os.getpid()}-{nodes}{'-hops' if hops else ''}{'-sasl' if sasl else ''}"
        self._tidy()
        self.brokers = {}
        for node in range(1, nodes + 1):
            self.brokers[node] = Broker(self, node)
        self.direct = ",".join(f"127.0.0.1:{b.direct}" for b in self.brokers.values())
        self.bootstrap = [f"127.0.0.1:{b.advertised}" for b in self.brokers.values()]
        self.tool = None
        self.asking = threading.Lock()

    def _tidy(self):
        """What earlier runs left, and what this folder held."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for old in self.folder.parent.glob("*-*"):
            if not os.path.exists(f"/proc/{old.name.split('-')[0]}"):
                shutil.rmtree(old, ignore_errors=True)

    def start(self):
        say("kafka", f"starting {len(self.brokers)} node(s) from {jars(self.version).name}")
        voters = ",".join(f"{b.node}@127.0.0.1:{b.controller}" for b in self.brokers.values())
        for format in [broker.configure(voters) for broker in self.brokers.values()]:
            if format.wait(PATIENCE) != 0:
                raise RuntimeError(f"StorageTool: {format.err()}")
        for broker in self.brokers.values():
            broker.start()
        with open(self.folder / "admin-tool.err", "wb") as err:
            self.tool = subprocess.Popen(java("AdminTool", self.direct, heap="128m"), text=True, stderr=err,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        until("all brokers registered", lambda: self.count() == len(self.brokers), 2 * PATIENCE)
        return self

    def ask(self, **command):
        with self.asking:  # the scenarios of a batch share the tool
            self.tool.stdin.write(json.dumps(command) + "\n")
            self.tool.stdin.flush()
            answer = json.loads(self.tool.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer

    def count(self):
        dead = [b.node for b in self.brokers.values() if not b.process.alive()]
        if dead:
            raise RuntimeError(f"Kafka node(s) {dead} ended: see {self.folder}")
        try:
            return len(self.ask(op="brokers")["brokers"])
        except RuntimeError:
            return 0

    def create(self, *topics, partitions=4, **configs):
        """Keyword arguments become the topics' configuration: max_message_bytes=1000 is max.message.bytes=1000."""
        self.ask(op="create", topics=list(topics), partitions=partitions, replication=len(self.brokers),
                 configs={key.replace("_", "."): str(value) for key, value in configs.items()})

    def commit_zero(self, group, *topics):
        """A group that has read nothing yet of these topics, and says so."""
        self.ask(op="commit_zero", group=group, topics=list(topics))

    def commit_ends(self, group, *topics, partitions=4):
        """A group that has just read to the end of these topics."""
        self.ask(op="commit_ends", group=group, topics=list(topics), partitions=partitions)

    def write_aged(self, topic, *ages):
        """Records that look as if they had been written so many seconds ago, the oldest first."""
        self.ask(op="aged", topic=topic, ages=list(ages))

    def begin_transaction(self, topic):
        """Leaves a transaction open on every partition: nobody who reads committed records gets past it."""
        self.ask(op="begin", topic=topic)

    def abort_transaction(self, topic):
        self.ask(op="abort", topic=topic)

    def share_from_the_beginning(self, group):
        """Kafka 4 only: a share group begins at the end of its topics, if nobody says otherwise."""
        self.ask(op="share_earliest", group=group)

    def leaders(self, topic):
        return self.ask(op="leaders", topic=topic)["leaders"]

    def in_sync(self, topic):
        return min(self.ask(op="leaders", topic=topic)["insync"])

    def pushed(self, client_id):
        """How often this client has pushed its metrics to the brokers' plugin (TelemetryReceiver)."""
        files = [b.folder / "telemetry" for b in self.brokers.values()]
        lines = [line.split() for f in files if f.exists() for line in f.read_text().splitlines()]
        return sum(1 for line in lines if len(line) == 2 and line[0] == client_id and int(line[1]) > 0)

    def lead(self, topic, leaders):
        """leaders: {partition: broker}; each must be a replica already."""
        self.ask(op="lead", topic=topic, leaders={str(partition): broker for partition, broker in leaders.items()})

    def stop(self):
        if self.tool:
            self.tool.kill()
            self.tool.wait()
        for broker in self.brokers.values():
            broker.stop()
        for broker in self.brokers.values():
            shutil.rmtree(broker.folder / "data", ignore_errors=True)
