"""Streams that tables are fed from: how each kind is read, who reads what, and how far it came."""
