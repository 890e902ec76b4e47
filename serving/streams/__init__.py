"""Records of streams as pushed rows: read, judged, and taken, each once."""
