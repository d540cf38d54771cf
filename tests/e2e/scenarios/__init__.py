"""The scenarios, in the order in which they run. Those of one batch run together on one cluster."""

import importlib

_ALL = []


class Scenario:
    def __init__(self, run, batch, cluster):
        self.run, self.name, self.batch, self.cluster = run, run.__name__, batch, cluster


def scenario(batch, cluster=(1, False)):
    """cluster: (nodes, with hops before the brokers), or None if the scenario needs no Kafka."""
    def register(run):
        _ALL.append(Scenario(run, batch, cluster))
        return run
    return register


def all_of_them():
    return list(_ALL)


def batches(names=()):
    """[(cluster, [scenario, ...])] in order; with names, only those."""
    found = []
    for one in _ALL:
        if names and one.name not in names:
            continue
        if found and found[-1][0] == one.batch:
            found[-1][2].append(one)
        else:
            found.append((one.batch, one.cluster, [one]))
    return [(cluster, members) for _, cluster, members in found]


for _module in ("wire", "admin", "lag", "fairness", "signals", "brokers", "demo"):
    importlib.import_module(f"scenarios.{_module}")
