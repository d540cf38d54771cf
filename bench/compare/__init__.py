"""What the scripts of bench/ share. Standard library only; each module has one subject:

processes.py   children, ports, and the CPU time and memory of a process and of the machine
contenders.py  the proxies that are compared, and how each is started
loads.py       the load generator, and one load through one contender
table.py       from figures to ratios and a table
"""
