"""Who reads what: noted of every read, stored once, and asked for."""
