"""What the scripts of bench/ share. Standard library only; each module has one subject:

processes.py   children, ports, and the CPU time and memory of a process and of the machine
contenders.py  the proxies that are compared, and how each is started
peers.py       those of them that are installed from elsewhere
loads.py       the load generator, the loads, and one load through one contender
latency.py     how late requests are, alone and beside a topic that is throttled hard
syscalls.py    system calls per request
real.py        the comparison in front of a real Kafka
facts.py       when, where, which commit; the files in bench/results/
table.py       medians, spread and ratios, and a table of cells
report.py      the tables of the comparison, and its claims
"""
