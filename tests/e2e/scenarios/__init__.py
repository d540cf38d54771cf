"""The scenarios. Those of one batch run together on one cluster; batches run in the order given here."""

import importlib

# Batch: (nodes, with hops before the brokers, with SASL), or None if it needs no Kafka. Neighbours of one kind share it.
BATCHES = {
    "transparent": (1, True),
    "wire": (1, True),
    "signals": (1, True),
    "lag": (1, False),
    "fairness": (1, False),
    "divert": (1, False),
    "isolation": (1, False),
    "actions": (1, False),
    "sampling": (1, False),
    "leaders": (3, True),
    "broker killed": (3, True),
    "never": (3, True),
    "sasl": (1, True, True),
    "apart": None,  # among them breaker, which stops brokers, and so has a cluster of its own
    "memory": None,
}
# Run only when they are named. (sampling takes two minutes, and on a starved machine producers bring so little that
# sampling is left in the middle.)
BY_NAME = {"sampling"}
_members = {batch: [] for batch in BATCHES}


class Scenario:
    def __init__(self, run):
        self.run, self.name = run, run.__name__


def scenario(batch):
    def register(run):
        _members[batch].append(Scenario(run))
        return run
    return register


def batches(names=()):
    """[(cluster, [scenario, ...])] in order; with names, only those."""
    for batch, cluster in BATCHES.items():
        chosen = [one for one in _members[batch] if one.name in names or not names and batch not in BY_NAME]
        if chosen:
            yield cluster, chosen


def all_of_them():
    return [one for members in _members.values() for one in members]


for _module in ("wire", "admin", "signals", "groups", "passing", "ids", "unknown", "lag", "fairness", "divert", "brokers", "sasl",
                "isolation", "breaker", "actions", "never", "sampling", "demo", "memory"):
    importlib.import_module(f"scenarios.{_module}")
