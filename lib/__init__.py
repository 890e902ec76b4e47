"""What every app may use, and what knows the words of none: errors, instants, bodies, Redis.

Not for anything that only one app needs: that stays with the app.
"""
