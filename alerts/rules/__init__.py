"""One file for each thing that may be wrong: `check(sight)` yields what is found.

`OPEN_MARKET_ONLY = True` says that not finding it proves nothing while its market is closed.
"""
