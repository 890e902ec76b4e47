"""The child process that touches users' SQL and files. Nothing here imports Django.

Not for starting it: ``compute`` does.
"""
