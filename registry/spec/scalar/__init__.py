"""Scalar expressions over one row, each typed once and in two forms: Python's and the engine's."""
