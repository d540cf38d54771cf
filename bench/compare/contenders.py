"""The proxies that are compared, and how each is started in front of a broker."""

import contextlib
import dataclasses
import re
import shutil
import time
import urllib.request
from pathlib import Path

from . import peers
from .processes import Failed, Process, free_ports

YARDSTICK, PEER = "relay uv_poll", "HAProxy TCP"  # what ratios are taken against
PORTS = 8  # neighbouring free ports that every contender may use; it listens on the first
TOPICS = 16  # that Produce loads send to in turn, bench-0 and so on


@dataclasses.dataclass
class Contender:
    name: str
    prepare: object  # (bench, port, the broker's port) -> Launch
    missing: str | None = None  # why it cannot run here
    policies: int = 0  # Penstock: so many policies bench... must have live signals, and count every record of the loads
    share: float = 1.0  # of the bytes and requests of closed loops: slow ones need not do as many as the others
    warm_s: float = 0.0  # of load before anything is measured, in a full run: for just-in-time compilers
    loads: tuple | None = None  # names of the only loads that make sense for it
    topics: int = TOPICS  # that its broker has
    roams: bool = False  # has all CPUs, like all else
    failure: str | None = None  # why it was given up

    @property
    def absence(self):
        """Why it has no figures; None if it has."""
        if self.missing:
            return f"{self.name} was not measured: {self.missing}"
        return f"{self.name} FAILED: {self.failure}" if self.failure else None


@contextlib.contextmanager
def running(bench, contender, broker, port=None):
    """A fresh process of the contender in front of the broker's port. `port` of the result is where clients connect."""
    port = port or free_ports(PORTS)
    launch = contender.prepare(bench, port, broker)
    cpus = None if contender.roams else bench.placement.contender
    with Process(launch.argv, bench.directory, port, bench=bench, cpus=cpus or bench.placement.everywhere) as proxy:
        proxy.admin = launch.admin
        if launch.begin:
            launch.begin()
        if launch.client_port:
            proxy.port = launch.client_port
            proxy.wait_port()
        yield proxy


# --- bare relays and HAProxy -------------------------------------------------------------------------------------


def relay(*options):
    def prepare(bench, port, broker):
        addresses = ["--listen", f"127.0.0.1:{port}", "--broker", f"127.0.0.1:{broker}"]
        return peers.Launch([bench.tool("bench_relay"), *addresses, *options])

    return prepare


def haproxy(bench, port, broker):
    config = bench.directory / "haproxy.cfg"
    config.write_text(
        f"""global
    maxconn {bench.connections + 50}
    nbthread {bench.threads}
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
listen bench
    bind 127.0.0.1:{port}
    server null 127.0.0.1:{broker}
"""
    )
    return peers.Launch(["haproxy", "-db", "-f", config])


# --- Penstock ----------------------------------------------------------------------------------------------------


def policy(name, topics, target, more=""):
    """One line of YAML."""
    return f'  - {{name: {name}, topics: ["{topics}"], signal: {{groups: [{name}], target: {target}}}{more}}}\n'


# A target that the null broker's steady lag never reaches: everything is decoded, counted and let through.
OPEN = "1000M"
POLICY_GROUP = "bench"
POLICY = "policies:\n" + policy(POLICY_GROUP, "bench*", OPEN)


def many():
    """A thousand tenants, of which the generator is the last; a policy for each topic it sends to, and 100 others."""
    tenants = "".join(f'  - {{name: t{i}, match: {{client_id: "tenant-{i}-*"}}}}\n' for i in range(998))
    tenants += '  - {name: generator, match: {client_id: "bench-*"}}\n'
    policies = "".join(policy(f"other-{i}", f"other-{i}-*", OPEN, f", tenants: [t{i}]") for i in range(100))
    policies += "".join(policy(f"bench-{i}", f"bench-{i}", OPEN) for i in range(TOPICS))
    return f"tenants:\n{tenants}policies:\n{policies}"


def penstock(rules="", workers=None):
    """`rules` is YAML with policies, tenants and whatever else."""

    def prepare(bench, port, broker):
        config = bench.directory / f"penstock-{port}.yaml"
        config.write_text(
            f"""upstream: {{bootstrap: ["127.0.0.1:{broker}"]}}
listeners:
  - {{name: bench, bind: "127.0.0.1:{port}", broker_ports: {port + 1}-{port + 2}}}
admin: {{bind: "127.0.0.1:{port + 3}"}}
workers: {workers or bench.threads}
"""
            + rules
        )
        return peers.Launch([bench.penstock, "run", "-c", config], admin=port + 3)

    return prepare


def samples(admin, pattern):
    """The values of the series that match."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return [float(line.split()[-1]) for line in lines if re.match(pattern, line)]


def wait_policies(proxy, count):
    """A policy counts as active once its signal has an age: then every batch is weighed against it."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if len(samples(proxy.admin, r'penstock_signal_age_seconds\{.*policy="bench')) >= count:
            return
        time.sleep(0.1)
    raise Failed("the policy has had no signal for 15 s")


def policy_records(proxy, name):
    """Records that policies of that name (a pattern) have counted and let through until now."""
    time.sleep(0.3)  # counters are published some times a second
    return sum(samples(proxy.admin, rf'penstock_records_total\{{.*policy="{name}".*outcome="forwarded"'))


# --- all of them -------------------------------------------------------------------------------------------------


BLIND = "relay uv_poll", "relay libuv streams", "relay splice", "HAProxy TCP", "Toxiproxy"
GOVERNED = "Penstock policy"  # the one that claims are made about
ONE_WORKER, TWO_WORKERS = "Penstock policy, 1 worker, any CPU", "Penstock policy, 2 workers, any CPU"


def everybody(bench):
    """All contenders, those included that are missing here and say so. A ratio's yardsticks come first."""
    no_haproxy = None if shutil.which("haproxy") else "haproxy is not installed"
    no_penstock = None if Path(bench.penstock).exists() else f"{bench.penstock} does not exist: ./run build"
    return [
        Contender(YARDSTICK, relay()),
        Contender("relay libuv streams", relay("--streams")),
        Contender("relay splice", relay("--splice")),
        Contender(PEER, haproxy, no_haproxy),
        Contender("Toxiproxy", peers.toxiproxy, peers.absence("toxiproxy"), share=0.25),
        Contender("kafka-proxy", peers.kafka_proxy, peers.absence("kafka-proxy"), share=0.25),
        Contender("Kroxylicious", peers.kroxylicious, peers.absence("kroxylicious"), share=0.25, warm_s=5),
        Contender("Penstock observe", penstock(), no_penstock),
        Contender(GOVERNED, penstock(POLICY), no_penstock, policies=1),
        Contender("Penstock many", penstock(many()), no_penstock, policies=TOPICS, topics=1000),
    ] + [
        Contender(name, penstock(POLICY, workers=workers), no_penstock, policies=1, roams=True,
                  loads=("produce", "small", "pipelined")) for name, workers in ((ONE_WORKER, 1), (TWO_WORKERS, 2))
    ]
