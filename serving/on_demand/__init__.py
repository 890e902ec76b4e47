"""Features that are computed at the request, and in training sets, by one definition."""
