"""How much is kept of the events of one entity, and how a hop of them begins. [pure]"""

from __future__ import annotations

#: How many hops the longest window has.
HOPS = 100
#: Bytes of events that one call answers, beside the entity that goes beyond; and one read in all.
MOST_ANSWERED, MOST_READ = 8 << 20, 32 << 20
#: Bytes before a hop's events: how many there are, and the sequence of the last one that was put.
HOP_HEADER = 12
#: The bytes of events of one entity that a hop takes: a push that would go beyond is refused, and
#: a load that finds more fails.
MOST_BYTES = 1 << 16
