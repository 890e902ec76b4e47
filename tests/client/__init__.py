"""Tests of the client and the command against a recording peer."""
