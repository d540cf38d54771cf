"""The short form of ./run actions: every client, every action with several of them, for as long as its ladder takes.

All at the same time, and nothing that depends on the machine's speed is judged: no record may be lost, doubled or
counted twice, no producer may die, and each action takes something from somebody."""

import collections
import time

import actions
from scenarios import scenario

EACH, STEP = 3, 4  # actions of a client, and so far apart: those who share one are of different families
CLIMB = 40         # s at the most


def some(cells):
    """EACH cells of every client."""
    clients, names = ([one.name for one in table] for table in (actions.CLIENTS, actions.ACTIONS))
    return [cell for cell in cells
            if (names.index(cell.action.name) - clients.index(cell.client.name)) % len(names) % STEP == 0
            and (names.index(cell.action.name) - clients.index(cell.client.name)) % len(names) < EACH * STEP]


def press(pressure, cells):
    """Until each action is armed for somebody who bears it; then off and on."""
    ladders = collections.defaultdict(set)
    for cell in cells:
        if cell.action.policy.get("actions") and cell.allowed:
            ladders[cell.action.name].add(cell.name)
    pressure.climb(ladders.values(), CLIMB)
    for on in (True, False, True, False):
        pressure.put(on, actions.rates_of(cells))
        time.sleep(3 if on else 1)


@scenario(batch="actions")
def actions_short(context, cluster):
    cells = some(actions.cells_of(None, None))
    actions.install(cells)
    cluster.create(actions.DIVERTED, partitions=actions.PARTITIONS)
    actions.run(context, cluster, cells, press, paced=False)
