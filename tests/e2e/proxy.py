"""Penstock under test: configuration, start, what its admin interface says, and an end without a leak."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

from harness import BUILD, PATIENCE, ports, until

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "second_deadlock_stack=1",
}
REPORT = re.compile(r"(ERROR|WARNING): \w*Sanitizer|runtime error:|: Assertion|SUMMARY: \w*Sanitizer")
BROKER_PORTS = 16


def yaml(value, indent=0):
    """The little of YAML that configurations need: block maps, block lists of maps, flow lists of words."""
    pad = "  " * indent
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item and not flat(item):
                lines.append(f"{pad}{key}:\n{yaml(item, indent + 1)}")
            else:
                lines.append(f"{pad}{key}: {scalar(item)}\n")
        return "".join(lines)
    out = []
    for item in value:
        text = yaml(item, indent + 1)
        out.append(f"{pad}- {text.lstrip()}")
    return "".join(out)


def flat(value):
    return isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value)


def scalar(value):
    if isinstance(value, list):
        return "[" + ", ".join(scalar(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f'"{text}"' if re.search(r"[*:#\[\]{},]", text) and not re.fullmatch(r"[\w.:-]+", text) else text


def policy(name, topic, group, target="20k", limit="40k", on_stale="hold_last", **more):
    """One policy with the figures that most scenarios share."""
    do = on_stale if isinstance(on_stale, dict) else {"do": on_stale}
    signal_keys = {"groups": [group], "target": target, "limit": limit, "poll": "1s"}
    signal_keys.update(more.pop("signal", {}))
    return {"name": name, "topics": [topic], "signal": signal_keys, "on_stale": do,
            "wait": {"max": "5s", "told_max": "5s", "client_timeout": "15s"}, **more}


class Penstock:
    """A running proxy. Its end is part of every scenario: SIGTERM, exit 0, and no sanitizer has spoken."""

    def __init__(self, context, cluster, policies=(), preset="asan", name="penstock", bind="127.0.0.1",
                 advertise=None, extra=None, first_id=1):
        if context.options.direct:
            raise RuntimeError("this scenario says nothing without Penstock")
        self.context = context
        self.name = name
        self.preset = preset
        self.bind = bind
        self.port = ports(1 + BROKER_PORTS, bind)
        self.admin = ports()
        listener = {"name": "public", "bind": f"{bind}:{self.port}",
                    "broker_ports": f"{self.port + 1}-{self.port + BROKER_PORTS}", "first_id": first_id}
        if advertise:
            listener["advertise"] = advertise
        self.config = {"upstream": {"bootstrap": cluster.bootstrap}, "listeners": [listener]}
        if policies:
            self.config["policies"] = list(policies)
        self.config.update({"admin": {"bind": f"127.0.0.1:{self.admin}"}, "workers": 2,
                            "log": {"level": "info", "format": "text"}})
        self.config.update(extra or {})
        self.path = context.folder / f"{name}.yaml"
        self.write()
        self.bootstrap = f"{bind}:{self.port}"
        self.argv = [BUILD / preset / "penstock", "run", "-c", self.path]
        self.process = context.spawn(name, self.argv, SANITIZERS)
        context.at_end(self._tell_death)
        self._ready()

    def _tell_death(self):
        """A proxy that ended by itself is the reason for whatever else has failed."""
        code = self.process.popen.poll()
        if code not in (None, 0):
            self.context.check(f"{self.name}: lives until it is told to end", False,
                               f"exit {code}: {self.process.err()[-600:]}")

    def write(self):
        self.path.write_text(yaml(self.config))

    def _ready(self):
        def ready():
            if not self.process.alive():
                raise RuntimeError(f"{self.name} ended at its start:\n{self.process.err()[-3000:]}")
            return self.status("/readyz") == 200
        until(f"{self.name} ready", ready)

    def _open(self, path, method="GET", body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}", method=method, data=body,
                                         headers={"Content-Type": "application/json"} if body else {})
        return urllib.request.urlopen(request, timeout=30)

    def status(self, path, method="GET", body=None):
        """The status of an answer; 0 if there was none."""
        try:
            with self._open(path, method, body) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def flags(self, etag=None, wait=None, timeout=30):
        """(status, ETag, document) of the flags; a document only with 200."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/api/v1/flags" + (f"?wait={wait}" if wait else ""))
        if etag:
            request.add_header("If-None-Match", etag)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers["ETag"], json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.headers["ETag"], None

    def state(self):
        with self._open("/api/v1/state") as answer:
            return json.load(answer)

    def bypass(self, on):
        return self.status("/api/v1/bypass", "POST", json.dumps({"on": on}).encode())

    def metrics(self):
        """{name: [(labels, value), ...]}"""
        found = {}
        with self._open("/metrics") as answer:
            for line in answer.read().decode().splitlines():
                match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)(?: \d+)?", line)
                if match:
                    labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
                    found.setdefault(match[1], []).append((labels, float(match[3])))
        return found

    def total(self, metric, **labels):
        """The sum of a metric's series that carry these labels; 0 if there are none."""
        return sum(value for have, value in self.metrics().get(metric, [])
                   if all(have.get(key) == wanted for key, wanted in labels.items()))

    def cpu_seconds(self):
        """CPU time that the process has taken."""
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def restart(self):
        """Another process with the same configuration and ports, that knows nothing yet."""
        self.stop()
        self.process = self.context.spawn(self.name, self.argv, SANITIZERS)
        self._ready()

    def stop(self):
        """Drains and judges. Call once, when the scenario's traffic has ended."""
        if self.process.alive():
            self.process.popen.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = f"none: it did not end within {PATIENCE} s of SIGTERM"
        log = self.process.err() + self.process.out()
        self.context.check(f"{self.name}: SIGTERM ends it with exit 0", code == 0, "" if code == 0 else code)
        report = REPORT.search(log)
        self.context.check(f"{self.name}: no sanitizer report, no leak", report is None,
                           log[report.start():report.start() + 300] if report else "")
