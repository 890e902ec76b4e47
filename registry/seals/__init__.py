"""Seals: what the trail was at an instant, signed and put where nobody of ours can change it.

``sealed`` says and checks what a seal is, ``keys`` whose hand it is, ``making`` makes and publishes
them, ``checking`` holds the trail against one, ``channels`` has a file for each kind of place.
"""
