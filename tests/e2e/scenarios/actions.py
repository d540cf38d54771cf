"""The short form of ./run actions: every client under every action, pressed for a few seconds."""

import actions
from scenarios import scenario

SECONDS = 11


@scenario(batch="actions")
def actions_short(context, cluster):
    cells = actions.cells_of(None, None)
    actions.install(cells)
    cluster.create(actions.DIVERTED, partitions=actions.PARTITIONS)
    for group in actions.by_clients(cells):
        actions.run(context, cluster, group, SECONDS)
