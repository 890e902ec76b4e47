"""One suite a seam, run on every entry of its table: what each kind has to keep."""
