"""The proxies that are compared, and how each is started in front of a broker."""

import contextlib
import dataclasses
import re
import shutil
import time
import urllib.request
from pathlib import Path

from .processes import Failed, Process, free_ports

YARDSTICK, PEER = "relay uv_poll", "HAProxy TCP"  # what ratios are taken against
PORTS = 8  # neighbouring free ports that every contender may use; clients connect to the first


@dataclasses.dataclass
class Launch:
    """How a contender is started, listening on `port`."""

    argv: list
    admin: int | None = None  # the port of Penstock's metrics
    environment: dict | None = None


@dataclasses.dataclass
class Contender:
    name: str
    prepare: object  # (bench, port, the broker's port) -> Launch
    missing: str | None = None  # why it cannot run here
    policy: str | None = None  # the policy that must have a live signal and must count every record
    failure: str | None = None  # why it was given up

    @property
    def absence(self):
        """Why it has no figures; None if it has."""
        if self.missing:
            return f"{self.name} was not measured: {self.missing}"
        return f"{self.name} FAILED: {self.failure}" if self.failure else None


@contextlib.contextmanager
def running(bench, contender, broker):
    """A fresh process of the contender in front of the broker's port: `port` is where clients connect."""
    port = free_ports(PORTS)
    launch = contender.prepare(bench, port, broker)
    with Process(launch.argv, bench.directory, port, environment=launch.environment, bench=bench) as proxy:
        proxy.admin = launch.admin
        yield proxy


# --- bare relays and HAProxy -------------------------------------------------------------------------------------


def relay(*options):
    def prepare(bench, port, broker):
        addresses = ["--listen", f"127.0.0.1:{port}", "--broker", f"127.0.0.1:{broker}"]
        return Launch([bench.tool("bench_relay"), *addresses, *options])

    return prepare


def haproxy(bench, port, broker):
    config = bench.directory / "haproxy.cfg"
    config.write_text(
        f"""global
    maxconn {bench.connections + 200}
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
    return Launch(["haproxy", "-db", "-f", config])


# --- Penstock ----------------------------------------------------------------------------------------------------

# A target that the null broker's steady lag of 1000 never reaches: everything is decoded, counted and let through.
POLICY = """policies:
  - {name: bench, topics: ["bench*"], signal: {groups: [bench], target: 1000M}}
"""


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
        return Launch([bench.penstock, "run", "-c", config], port + 3)

    return prepare


def metric(admin, pattern):
    """The sum of the samples whose series matches; None if there is none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    values = [float(line.split()[-1]) for line in lines if re.match(pattern, line)]
    return sum(values) if values else None


def wait_policy(proxy, policy):
    """A policy counts as active once its signal has an age: then every batch is weighed against it."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if metric(proxy.admin, rf'penstock_signal_age_seconds\{{.*policy="{policy}"') is not None:
            return
        time.sleep(0.1)
    raise Failed("the policy has had no signal for 15 s")


def policy_records(proxy, policy):
    """Records that the policy has counted and let through, all that has happened until now included."""
    time.sleep(0.3)  # counters are published some times a second
    return metric(proxy.admin, rf'penstock_records_total\{{.*policy="{policy}".*outcome="forwarded"') or 0


# --- all of them -------------------------------------------------------------------------------------------------


def everybody(bench):
    no_haproxy = None if shutil.which("haproxy") else "haproxy is not installed"
    no_penstock = None if Path(bench.penstock).exists() else f"{bench.penstock} does not exist: ./run build"
    return [
        Contender(YARDSTICK, relay()),
        Contender("relay libuv streams", relay("--streams")),
        Contender("relay splice", relay("--splice")),
        Contender(PEER, haproxy, no_haproxy),
        Contender("Penstock observe", penstock(), no_penstock),
        Contender("Penstock policy", penstock(POLICY), no_penstock, policy="bench"),
    ]
