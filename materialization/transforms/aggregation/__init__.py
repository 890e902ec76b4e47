"""Rolling windows at ticks: what each function computes, and the stages that do it.

Not for the instants of ticks: ``materialization.ticks`` has those.
"""
