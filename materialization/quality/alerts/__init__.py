"""What is wrong: which causes there are, and how an alert opens, collects and closes.

Not for looking for causes: the end of a run tells of its own, ``requests.watch`` asks for the
others.
"""
