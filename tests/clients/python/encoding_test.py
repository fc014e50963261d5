"""The bytes that are put together by hand, beside those of protobuf; and what data may hold."""
import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import types
import unittest
import uuid
from unittest import mock

from fanwire import encoding, messages


class Items(unittest.TestCase):
    def test_equal_protobufs_own(self):
        headers = encoding.Headers()
        sizes = [0, 1, 2, 10, 60, 100, 127, 128, 129, 16000, 16383, 16384, 70000, 900000]
        seqs = [1, 127, 128, 16383, 16384, 2097151, 2097152, 268435456, 2**35, 2**63]
        for size in sizes:
            for seq in seqs:
                event = messages.Event(service="s", channel="c" * (size % 200), event="e",
                                       id="i" * (size % 150), json=b"x" * size or None,
                                       idempotency_key="key" if size % 2 else "")
                rare = encoding.rare_fields(idempotency_key=event.idempotency_key)
                made = encoding.item(seq, headers.get((event.service, event.channel, event.event)),
                                     event.json, event.id.encode(), rare)
                request = messages.PublishStreamRequest.FromString(
                    b"\x12" + encoding.varint(len(made)) + made)
                expected = messages.PublishStreamRequest()
                item = expected.items.items.add()
                item.seq = seq
                item.event.CopyFrom(event)
                self.assertEqual(request, expected)

    def test_text_fields(self):
        for text in ("", "a", "ä" * 63, "b" * 128, "c" * 20000):
            self.assertEqual(messages.Event.FromString(encoding.text_field(text)).service, text)
            made = encoding.text_field(text) + b"\x10\x01"
            self.assertEqual(encoding.read_text_field(made), text)
        self.assertEqual(encoding.read_text_field(b"\x10\x01"), "")
        self.assertEqual(encoding.read_text_field(b""), "")

    def test_rare_fields(self):
        when = datetime.datetime(2026, 2, 10, 12, tzinfo=datetime.timezone(
            datetime.timedelta(hours=2)))
        event = messages.Event.FromString(encoding.rare_fields(
            ttl=datetime.timedelta(milliseconds=1500), skip_history=True, occurred_at=when,
            exclude_connection="c", idempotency_key="k"))
        self.assertEqual((event.ttl.ToMilliseconds(), event.skip_history, event.exclude_connection,
                          event.idempotency_key), (1500, True, "c", "k"))
        self.assertEqual(event.occurred_at.ToJsonString(), "2026-02-10T10:00:00Z")

    def test_headers_are_kept_but_not_without_end(self):
        headers = encoding.Headers()
        for n in range(25_000):
            event = messages.Event.FromString(headers.get(("s", f"c:{n}", "e")))
            self.assertEqual(event.channel, f"c:{n}")
        self.assertLessEqual(len(headers._known), 10_000)

    def test_names_must_be_text(self):
        headers = encoding.Headers()
        for key in (("s", 5, "e"), ("s", "c", None.__class__), (b"\xff", "c", "e"),
                    ("s", "\ud800", "e")):
            with self.assertRaises((TypeError, ValueError)):
                headers.get(key)
        with self.assertRaisesRegex(ValueError, "at most 256"):
            headers.get(("s", "c" * 200_000, "e"))


class Data(unittest.TestCase):
    def check(self, data, expected):
        made = encoding.to_json(data)
        self.assertIsInstance(made, bytes)
        self.assertEqual(json.loads(made), expected)

    def test_is_compact_and_not_ascii(self):
        self.assertEqual(encoding.to_json({"a": [1, "ä"], "b": {"c": None}}),
                         '{"a":[1,"ä"],"b":{"c":null}}'.encode())

    def test_numbers_keep_their_digits(self):
        self.assertEqual(encoding.to_json({"n": 2**64, "m": 10**29 + 1}),
                         b'{"n":18446744073709551616,"m":100000000000000000000000000001}')

    def test_what_json_does_not_have_becomes_null(self):
        self.check({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": -float("inf")},
                    "e": (float("nan"),), "f": Model()},
                   {"a": None, "b": [None, 1.5], "c": {"d": None}, "e": [None], "f": {"n": 1}})

    def test_common_python_values(self):
        Color = enum.Enum("Color", {"RED": "red"})
        Point = dataclasses.make_dataclass("Point", [("x", int)])
        self.check(
            {"time": datetime.datetime(2026, 2, 10, tzinfo=datetime.timezone.utc),
             "date": datetime.date(2026, 2, 10), "id": uuid.UUID(int=5),
             "path": pathlib.PurePosixPath("/a"), "color": Color.RED, "set": {1},
             "decimal": decimal.Decimal("1.5"), "bytes": b"a\xff", "point": Point(3),
             "queue": collections.deque([2]), "chain": collections.ChainMap({"a": Color.RED}),
             "proxy": types.MappingProxyType({"a": float("nan")}),
             "model": Model(), "counter": collections.Counter("a"), "tuple": (1,), "true": True},
            {"time": "2026-02-10T00:00:00+00:00", "date": "2026-02-10",
             "id": str(uuid.UUID(int=5)), "path": "/a", "color": "red", "set": [1], "decimal": 1.5,
             "queue": [2], "chain": {"a": "red"}, "proxy": {"a": None},
             "bytes": "a\ufffd", "point": {"x": 3}, "model": {"n": 1}, "counter": {"a": 1},
             "tuple": [1], "true": True})

    def test_half_a_surrogate_pair_becomes_the_replacement_character(self):
        self.check({"a": "x\ud800y", "b": "😀"}, {"a": "x\ufffdy", "b": "😀"})

    def test_the_data_itself_may_be_any_mapping(self):
        self.assertEqual(encoding.to_json(types.MappingProxyType({"a": 1})), b'{"a":1}')

    def test_keys_become_texts_too(self):
        Color = enum.Enum("Color", {"RED": "red"})
        self.check({uuid.UUID(int=5): 1, Color.RED: {datetime.date(2026, 2, 10): float("nan")},
                    "a": 2, 3: 4, None: 5, float("inf"): 6, pathlib.PurePosixPath("/a"): 7},
                   {str(uuid.UUID(int=5)): 1, "red": {"2026-02-10": None}, "a": 2, "3": 4,
                    "null": 5, "inf": 6, "/a": 7})
        with self.assertRaisesRegex(TypeError, "key is frozenset"):
            encoding.to_json({frozenset([1]): 1})
        with self.assertRaisesRegex(TypeError, "tuple"):
            encoding.to_json({(1, 2): 1})

    def test_what_cannot_be_written_is_an_error_soon(self):
        deep = {}
        for _ in range(100_000):
            deep = {"a": deep}
        for data in (deep, {"nan": float("nan"), "deep": deep}):
            with self.assertRaisesRegex(ValueError, "nested too deep"):
                encoding.to_json(data)
        with self.assertRaisesRegex(TypeError, "MagicMock cannot be written as JSON"):
            encoding.to_json({"a": mock.MagicMock()})

    def test_other_values_are_errors_that_name_the_type(self):
        with self.assertRaisesRegex(TypeError, "types.SimpleNamespace cannot be written as JSON"):
            encoding.to_json({"a": types.SimpleNamespace()})
        circular = {}
        circular["self"] = circular
        with self.assertRaisesRegex(ValueError, "Circular"):
            encoding.to_json(circular)


class Model:
    """As a pydantic model."""

    def model_dump(self, mode):
        assert mode == "json"
        return {"n": 1}


if __name__ == "__main__":
    unittest.main(verbosity=2)
