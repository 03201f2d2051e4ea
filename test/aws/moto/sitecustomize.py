"""
Python loads this before moto, because its folder is in PYTHONPATH (test/support/moto-server.ts). It makes moto fast enough
for a test with a hundred jobs, and has it deal with one request at a time.

- moto answers every request in a thread of its own, and its lists and tables have no locks: a transaction of DynamoDB that
  fails is taken back by putting the table in its place that was there when it began, without what other threads have written
  meanwhile; a permission of a function is not found, and stays, when another one is removed while it is looked for. AWS
  isolates its requests. Those for messages are left as they are, because one that waits for a message would keep all others
  waiting.
- A permission of a function that is given again, because the answer was lost, is there twice, and once after it was removed.
  Lambda has it once.
- moto copies the whole table once for every write of a transaction, to be able to take it back. One copy is enough:
  within one call, a table is copied once. And only as deep as a write reaches: an attribute is replaced, never changed.
- It lists its own folder for every request. What is in there stays the same.
- It looks for every value of an item under each of ten names, though a text or a number is what it is.
- It writes a line for every request, which nobody reads.
"""

import copy
import logging
import sys
import threading

_copy = copy.deepcopy
_last = threading.local()


def _copy_table_once(value, *rest):
    if type(value).__name__ != "Table" or not type(value).__module__.startswith("moto.dynamodb."):
        return _copy(value, *rest)
    call = sys._getframe(1)
    known = getattr(_last, "known", None)
    if known is None or known[0] is not call or known[1] is not value:
        known = (call, value, _copy_of_table(value))
        _last.known = known
    return known[2]


def _copy_of_table(table):
    copied = copy.copy(table)
    copied.items = copy.copy(table.items)
    for partition, items in table.items.items():
        if isinstance(items, dict):
            copied.items[partition] = {sort: _copy_of_item(item) for sort, item in items.items()}
        else:
            copied.items[partition] = _copy_of_item(items)
    return copied


def _copy_of_item(item):
    copied = copy.copy(item)
    copied.attrs = type(item.attrs).__new__(type(item.attrs))
    # What was measured when it was written is not measured again.
    dict.update(copied.attrs, item.attrs)
    return copied


copy.deepcopy = _copy_table_once
logging.getLogger("werkzeug").setLevel(logging.ERROR)

try:
    from moto import backends
    from moto.awslambda.policy import Policy
    from moto.core.responses import BaseResponse
    from moto.core.serialize import BaseJSONSerializer
except ImportError:
    # Another program of Python, or another moto: it is as slow as it is.
    pass
else:
    if hasattr(backends, "list_of_moto_modules"):
        _modules = tuple(backends.list_of_moto_modules())
        backends.list_of_moto_modules = lambda: _modules

    _one_at_a_time = threading.RLock()
    _call_action = BaseResponse.call_action

    def _call_alone(self):
        if self.service_name == "sqs":
            return _call_action(self)
        with _one_at_a_time:
            return _call_action(self)

    BaseResponse.call_action = _call_alone

    _add_statement = Policy.add_statement

    def _add_statement_once(self, *arguments, **named):
        added = _add_statement(self, *arguments, **named)
        sid = added[0].get("Sid")
        self.statements[:-1] = [known for known in self.statements[:-1] if known.get("Sid") != sid]
        return added

    Policy.add_statement = _add_statement_once

    _serialize_structure = BaseJSONSerializer._serialize_type_structure

    def _serialize_plain_value(self, serialized, value, shape, key):
        is_plain = shape.name == "AttributeValue" and isinstance(value, dict) and len(value) == 1
        if is_plain and isinstance(value.get("S", value.get("N")), str):
            self._default_serialize(serialized, value, shape, key)
        else:
            _serialize_structure(self, serialized, value, shape, key)

    BaseJSONSerializer._serialize_type_structure = _serialize_plain_value
