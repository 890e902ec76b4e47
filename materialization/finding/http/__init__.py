"""Rows that an HTTP server gives as JSON: asked for, page by page, and written into one file."""
