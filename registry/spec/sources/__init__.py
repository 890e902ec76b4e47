"""Data sources as values, a module a kind; ``kinds`` names them all. [pure]"""
