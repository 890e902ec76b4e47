"""Features of articles from their raw text; nothing is downloaded and nothing is learned."""
