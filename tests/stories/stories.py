"""The stories. Their figures are those of sim/scenarios/kafka.yaml, which the simulator runs."""

import dataclasses

SCALE_AT, KILLED, REVIVED, CUT, RESTORED = 50.0, 52.5, 82.5, 50.0, 80.0


@dataclasses.dataclass
class Event:
    at_s: float
    says: str
    happens: object     # Stage -> None
    prepares: int = 0   # consumers that join then


@dataclasses.dataclass
class Story:
    name: str
    about: str
    seconds: float
    target: float                 # records
    limit: float
    consumers: int
    capacity: float               # records/s, of all consumers together
    commit_s: float = 5.0
    offered: float = 0.0          # records/s; 0: without limit
    producers: int = 4
    partitions: int = 8
    poll: str = "1s"
    batch_bytes: int = 2048       # of one partition; a request has one of each
    linger_ms: int = 20
    poll_records: int = 500
    revoke_s: float = 0.0         # a consumer takes so long to give its partitions away in a rebalance
    through: bool = True          # consumers connect to the proxy
    cuts: bool = False            # something is cut: then a hop stands before the broker
    event_s: float = 0.0
    events: tuple = ()
    steady: tuple = ()            # windows in which nothing happens
    notes: list = dataclasses.field(default_factory=list)


def unlimited(name, about, **more):
    """2,000 records/s by four consumers against producers without limit."""
    return Story(name, about, target=20e3, limit=40e3, consumers=4, capacity=2e3, **more)


def cut(name, about, through):
    return unlimited(name, about, seconds=120, through=through, cuts=True, event_s=CUT, events=(
        Event(CUT, "Penstock's own connections are cut", lambda stage: stage.cut()),
        Event(RESTORED, "they are back", lambda stage: stage.restore())), steady=((25, CUT), (100, 120)))


STORIES = [
    Story("scale-4-8", "5,000/s against 4 consumers of 1,000/s each; after 50 s there are 8", seconds=90,
          target=15e3, limit=25e3, consumers=4, capacity=4e3, offered=5e3, revoke_s=3.0, event_s=SCALE_AT, steady=((25, SCALE_AT),),
          events=(Event(SCALE_AT, "four more consumers", lambda stage: stage.join(4), prepares=4),)),
    unlimited("killed-30s", "all consumers killed for 30 s", seconds=130, event_s=KILLED, events=(
        Event(KILLED, "consumers killed", lambda stage: stage.kill()),
        Event(REVIVED, "they restart where they committed", lambda stage: stage.join(4), prepares=4)),
        steady=((25, KILLED), (110, 130))),
    unlimited("commits-5s", "commits every 5 s", seconds=110, steady=((25, 110),)),
    cut("source-cut-30s", "the lag source cut for 30 s, consumers through Penstock", True),
    cut("source-cut-30s-past", "the lag source cut for 30 s, consumers past Penstock", False),
]
