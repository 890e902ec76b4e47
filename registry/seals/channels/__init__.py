"""Where seals go: a file for each kind of place, and the table that finds it by its address."""
