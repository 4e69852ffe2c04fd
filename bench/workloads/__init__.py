"""What is measured: each workload drives one target and yields rows of octets, operations and seconds.

A workload checks what it received after the clock has stopped; a wrong answer raises WrongAnswer and no row comes.
"""

from bench.model import Workload
from bench.workloads.arriving import append, deliver, large, seed
from bench.workloads.bodies import bodies, pop3, ranges
from bench.workloads.changes import copies, store
from bench.workloads.listing import cold, huge, listing, logins, select
from bench.workloads.searches import search
from bench.workloads.waiting import crowd, idle, latency

WORKLOADS: dict[str, Workload] = {
    "seed": seed,
    "logins": logins,
    "select": select,
    "listing": listing,
    "bodies": bodies,
    "ranges": ranges,
    "pop3": pop3,
    "cold": cold,
    "store": store,
    "copies": copies,
    "append": append,
    "deliver": deliver,
    "search": search,
    "latency": latency,
    "large": large,
    "huge": huge,
    "idle": idle,
    "crowd": crowd,
}

# Memory is what it is in any round: the last one, for all that work leaves something behind.
ONCE = ("idle", "crowd")
