"""The process that runs packages of an operator's choice: nothing but rows comes to it.

Not for reading sources or computing SQL (``sandbox``). It is started by path and imports the
standard library, pyarrow and what is in here.
"""
