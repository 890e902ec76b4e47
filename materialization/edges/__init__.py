"""Where materialization meets the settings: stores, engine and sources, made from them.

Everything below takes these as arguments and reads no settings itself.
"""
