"""What asks for runs: people, services, schedules and the sweep.

Not for performing them: ``runner`` does, in a worker.
"""
