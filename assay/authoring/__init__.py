"""First definitions from what people have: data files, another store's definitions.
Not for registering them: what is written here is read and changed by people first.
"""
