"""Proxies from elsewhere that are installed into build/bench-peers/: kafka-proxy and Toxiproxy by `go install`,
Kroxylicious by Maven. What cannot be had on a machine is left out, and the table says why.
"""

import dataclasses
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "bench/peers"
FOLDER = ROOT / "build/bench-peers"
BINARIES = FOLDER / "bin"
KROXYLICIOUS = FOLDER / "kroxylicious"

VERSIONS = {"kafka-proxy": "v0.4.3", "toxiproxy": "v2.5.0", "kroxylicious": "0.12.0"}
PATIENCE = 400  # seconds for one download and build


@dataclasses.dataclass
class Launch:
    """How a contender is started."""

    argv: list
    admin: int | None = None  # the port of Penstock's metrics
    client_port: int | None = None  # where clients connect, if that is not where it was told to listen
    begin: object = None  # what must be done once it listens


# --- installing --------------------------------------------------------------------------------------------------


def command(argv, **environment):
    """Why it failed, in a line; None if it did not."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=PATIENCE, check=False,
                              cwd=FOLDER, env=os.environ | {k: str(v) for k, v in environment.items()})
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    wrong = [line for line in lines if "ERROR" in line] or lines or ["no output"]
    return None if done.returncode == 0 else f"{argv[0]}: {wrong[0][:200]}"


def go_install(name, package, binary):
    wanted = BINARIES / name
    if wanted.exists():
        return None
    failure = command(["go", "install", f"{package}@{VERSIONS[name]}"], GOBIN=BINARIES, GOPATH=FOLDER / "go",
                      GOFLAGS="-modcacherw")
    if failure is None:
        (BINARIES / binary).rename(wanted)
        version_file(name).write_text(VERSIONS[name])
    return failure


def maven_install():
    classes = KROXYLICIOUS / "classes"
    if (classes / "complete").exists():
        return None
    failure = command(["mvn", "-q", "-B", "-f", SOURCES / "kroxylicious.xml", "dependency:copy-dependencies",
                       f"-Dkroxylicious.version={VERSIONS['kroxylicious']}", f"-DoutputDirectory={KROXYLICIOUS / 'jars'}"])
    if failure is None:
        failure = command(["javac", "-d", classes, "-cp", f"{KROXYLICIOUS}/jars/*", *SOURCES.glob("*.java")])
    if failure is None:
        shutil.copytree(SOURCES / "META-INF", classes / "META-INF", dirs_exist_ok=True)
        (classes / "complete").touch()
        version_file("kroxylicious").write_text(VERSIONS["kroxylicious"])
    return failure


def version_file(name):
    """Beside what was installed here. Without it a binary was put there by hand."""
    return FOLDER / f"{name}.version"


INSTALLERS = {
    "toxiproxy": lambda: go_install("toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server", "server"),
    "kafka-proxy": lambda: go_install("kafka-proxy", "github.com/grepplabs/kafka-proxy", "kafka-proxy"),
    "kroxylicious": maven_install,
}
failures = {}  # of this run


def install(names):
    """Those that are not there yet."""
    for name in names:
        if absence(name):
            print(f"installing {name} {VERSIONS[name]}", file=sys.stderr, flush=True)
            failures[name] = INSTALLERS[name]()


def absence(name):
    """Why it cannot be measured; None if it can."""
    there = KROXYLICIOUS / "classes/complete" if name == "kroxylicious" else BINARIES / name
    return None if there.exists() else f"{name} {VERSIONS[name]} is not in {FOLDER.name}: {failures.get(name)}"


def versions():
    """{name: what is there}"""
    return {name: version_file(name).read_text() if version_file(name).exists() else "of unknown version"
            for name in VERSIONS if not absence(name)}


# --- starting ----------------------------------------------------------------------------------------------------


def toxiproxy(bench, port, broker):
    """Without toxics: a relay that parses nothing."""
    config = bench.directory / "toxiproxy.json"
    proxy = {"name": "bench", "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{broker}", "enabled": True}
    config.write_text(json.dumps([proxy]))
    return Launch([BINARIES / "toxiproxy", "-config", config, "-host", "127.0.0.1", "-port", port + 1])


def kafka_proxy(bench, port, broker):
    """Rewrites addresses in Metadata and FindCoordinator; reads the heads of requests."""
    mapping = f"127.0.0.1:{broker},127.0.0.1:{port}"
    return Launch([BINARIES / "kafka-proxy", "server", "--bootstrap-server-mapping", mapping, "--http-disable",
                   "--dynamic-listeners-disable", "--log-level", "warning"])


def kroxylicious(bench, port, broker):
    """With the filter of bench/peers/CountRecords.java: every Produce is decoded. Its port for a broker carries traffic
    once somebody has asked for Metadata at its bootstrap port."""
    config = bench.directory / "kroxylicious.yaml"
    config.write_text(
        f"""virtualClusters:
  - name: bench
    targetCluster: {{bootstrapServers: "127.0.0.1:{broker}"}}
    gateways:
      - name: default
        portIdentifiesNode:
          bootstrapAddress: "127.0.0.1:{port}"
          nodeIdRanges: [{{name: all, start: 0, end: 3}}]
filterDefinitions:
  - {{name: count, type: CountRecords}}
defaultFilters: [count]
"""
    )
    argv = ["java", "-Xmx1g", "-cp", f"{KROXYLICIOUS}/classes:{KROXYLICIOUS}/jars/*", "RunKroxylicious", config]
    return Launch(argv, client_port=port + 1, begin=lambda: ask_metadata(port))


def ask_metadata(port):
    """Metadata v1 for all topics; the answer is not looked at."""
    api, version, correlation_id, no_client_id, all_topics = 3, 1, 0, -1, -1
    body = struct.pack(">hhihi", api, version, correlation_id, no_client_id, all_topics)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        connection.recv(4)
