"""PostgreSQL as a source: one read-only transaction, its rows streamed as Arrow into a file."""
