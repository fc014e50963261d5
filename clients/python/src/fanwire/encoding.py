"""Turns events into the bytes of a fanwire.v1.PublishItem.

An event of the usual fields takes about 1 us beside its JSON: the bytes are put together by hand,
because filling a protobuf message from Python takes ten times as long.  The bytes of service,
channel and event name are kept from one event to the next.  Fields that are rare go through
protobuf; in Protobuf's encoding the bytes of two parts of a message may simply be joined.
"""
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid

from fanwire import messages

# Control never takes larger data (limits.max_event_bytes).
MAX_DATA_BYTES = 1_000_000
# Everything else in an event: control takes names of 256 bytes and keys of 256.
MAX_OTHER_BYTES = 100_000

_MAX_HEADERS = 10_000


def varint(number):
    """Returns Protobuf's encoding of a number that is not negative."""
    if number < 128:
        return bytes((number,))
    if number < 16384:
        return bytes((number & 127 | 128, number >> 7))
    if number < 2097152:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    low = bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128))
    return low + varint(number >> 21)


def id_bytes(id):
    """Returns an event's id, which is a text or a UUID, as bytes."""
    if isinstance(id, uuid.UUID):
        id = str(id)
    if not isinstance(id, str):
        raise TypeError(f"id: {type(id).__qualname__}; expected a text or a UUID")
    return id.encode()


def text_field(text):
    """Returns a message whose field 1 is a text."""
    content = text.encode()
    return b"\x0a%b%b" % (varint(len(content)), content)


def read_text_field(message):
    """Returns the text of a message whose first field is text_field()'s; "" if it is not."""
    if message[:1] != b"\x0a":
        return ""
    size, shift, at = 0, 0, 1
    while True:
        size |= (message[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 128:
            return message[at:at + size].decode()


def to_json(data):
    """Returns data, a dict, as JSON in UTF-8.

    As in the earlier services, numbers that JSON does not have become null, and times, dates,
    UUIDs, paths, enums, decimals, sets, dataclasses and pydantic models what one expects; so do
    keys.  Raises TypeError or ValueError if data cannot be JSON.
    """
    try:
        try:
            text = _encode(data)
        except (TypeError, ValueError) as error:  # a key that is no text, or NaN
            if "Circular" in str(error):
                raise
            text = _encode(_clean(data))
    except RecursionError:
        raise ValueError("data: nested too deep to be written as JSON") from None
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _plain(value):
    """What json cannot write, as something that it can."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, pathlib.PurePath)):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset, collections.deque)):
        return list(value)
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(type(value), "model_dump"):  # pydantic 2; a mock object has any attribute
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"data: {type(value).__module__}.{type(value).__qualname__} cannot be "
                    "written as JSON")


def _clean(value):
    """Returns a value without NaN, whose keys json takes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_clean_key(key): _clean(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(each) for each in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return _clean(_plain(value))


def _clean_key(key):
    if isinstance(key, float):
        return key if math.isfinite(key) else str(key)
    if key is None or isinstance(key, (str, int)):
        return key
    plain = _plain(key)
    if not isinstance(plain, (str, int, float)):
        raise TypeError(f"data: a key is {type(key).__qualname__}, which JSON does not have")
    return plain


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False,
                           default=_plain).encode


class Headers:
    """The encoded service, channel and name of events, kept for those that come again."""

    def __init__(self):
        self._known = {}

    def get(self, key):
        """Returns the bytes for (service, channel, event)."""
        found = self._known.get(key)
        if found is None:
            found = messages.Event(service=key[0], channel=key[1],
                                   event=key[2]).SerializeToString()
            if len(found) > MAX_OTHER_BYTES:
                raise ValueError(f"service, channel and event: {len(found)} bytes, "
                                 "control takes at most 256 of each")
            if len(self._known) >= _MAX_HEADERS:
                self._known.clear()
            self._known[key] = found
        return found


def rare_fields(idempotency_key=None, ttl=None, skip_history=False, exclude_connection=None,
                occurred_at=None, typed=None):
    """Returns the bytes of the fields of an Event that most events do not have."""
    event = messages.Event()
    if idempotency_key:
        event.idempotency_key = idempotency_key
    if ttl is not None:
        event.ttl.FromTimedelta(ttl if isinstance(ttl, datetime.timedelta)
                                else datetime.timedelta(seconds=ttl))
    if skip_history:
        event.skip_history = True
    if exclude_connection:
        event.exclude_connection = exclude_connection
    if occurred_at is not None:
        if not isinstance(occurred_at, datetime.datetime):
            raise TypeError(f"occurred_at: {type(occurred_at).__qualname__}; expected a datetime")
        if occurred_at.tzinfo is not None:  # protobuf takes a time without zone for UTC
            occurred_at = occurred_at.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        event.occurred_at.FromDatetime(occurred_at)
    if typed is not None:
        event.typed.Pack(typed)
    return event.SerializeToString()


def item(seq, header, data, id_bytes, rare):
    """Returns a PublishItem, framed as an element of PublishItems.items."""
    seq_bytes = varint(seq)
    payload = b'"%b%b' % (varint(len(data)), data) if data else b""
    id_size = varint(len(id_bytes))
    size = len(header) + len(payload) + 1 + len(id_size) + len(id_bytes) + len(rare)
    size_bytes = varint(size)
    return b"\x0a%b\x08%b\x12%b%b%b2%b%b%b" % (
        varint(2 + len(seq_bytes) + len(size_bytes) + size), seq_bytes, size_bytes, header,
        payload, id_size, id_bytes, rare)
