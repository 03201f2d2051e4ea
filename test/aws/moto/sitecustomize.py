"""
Python loads this before moto, because its folder is in PYTHONPATH (test/aws/global-setup.ts).

moto copies the whole table once for every write of a transaction, to be able to take it back. One copy is enough, and
lets a test have a hundred jobs: within one call, a table is copied once.
"""

import copy
import sys
import threading

_copy = copy.deepcopy
_last = threading.local()


def _copy_table_once(value, *rest):
    if type(value).__name__ != "Table" or not type(value).__module__.startswith("moto."):
        return _copy(value, *rest)
    call = sys._getframe(1)
    known = getattr(_last, "known", None)
    if known is None or known[0] is not call or known[1] is not value:
        known = (call, value, _copy(value, *rest))
        _last.known = known
    return known[2]


copy.deepcopy = _copy_table_once
