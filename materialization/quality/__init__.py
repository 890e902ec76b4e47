"""What a run's rows look like, and whether that is what the definition expects.

Not for stopping a run: ``runner`` does.
"""
