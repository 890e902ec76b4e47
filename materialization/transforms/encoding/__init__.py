"""Steps of encodings: fitted to the rows of a range, and applied as SQL. One file a family."""
