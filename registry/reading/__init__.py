"""Text to specs, with the place of each problem. [pure]

Not for what the registry or the data say: ``operations.registration`` asks those.
"""
