"""Every error that a client can cause, with its exact text.  The session continues after each."""
import json

from harness import Case, main
from harness.client import ENVELOPE


class Errors(Case):
    async def assert_error(self, client, message, code, text=None, correlation=None):
        reply = await client.reply(message)
        self.assertEqual(list(reply)[:9], ENVELOPE)
        self.assertEqual(reply["type"], "error", reply)
        self.assertEqual(reply["error_code"], code)
        self.assertIsNone(reply["event"])
        self.assertEqual(reply["data"], {})
        self.assertIsNone(reply["room"])
        self.assertEqual(reply["correlation_id"], correlation)
        self.assertIsInstance(reply["error_message"], str)
        self.assertTrue(reply["error_message"])
        if text is not None:
            self.assertEqual(reply["error_message"], text)

    async def test_undecodable_messages(self):
        client = await self.connect()
        for message in [
                "", "hello", "{", '{"type":"request"', "[]", "null", "17", '"text"',
                '{"type":"request"} trailing',
                json.dumps({"event": "subscribe"}),
                json.dumps({"type": "no such type"}),
                json.dumps({"type": None}),
                json.dumps({"type": 3}),
                json.dumps({"type": "request", "id": 7, "event": "subscribe"}),
                json.dumps({"type": "request", "id": None, "event": "subscribe"}),
                json.dumps({"type": "request", "timestamp": None}),
                json.dumps({"type": "request", "timestamp": 12.5}),
                json.dumps({"type": "request", "correlation_id": 1}),
                json.dumps({"type": "request", "event": 1}),
                json.dumps({"type": "request", "room": []}),
                json.dumps({"type": "request", "error_code": 1}),
                json.dumps({"type": "request", "error_message": {}}),
                json.dumps({"type": "request", "event": "subscribe", "data": None}),
                json.dumps({"type": "request", "event": "subscribe", "data": []}),
                json.dumps({"type": "request", "event": "subscribe", "data": "x"}),
                b"\x00\x01\x02", b"not json"]:
            with self.subTest(message=message):
                await self.assert_error(client, message, "DECODE_ERROR")
        await client.subscribe("still:works")

    async def test_deep_nesting_is_refused_and_harms_nothing(self):
        client = await self.connect()
        deep = '{"type":"request","event":"x","data":{"a":' + "[" * 50000 + "]" * 50000 + "}}"
        await self.assert_error(client, deep, "DECODE_ERROR", "message: nested deeper than 64")
        await client.subscribe("still:works")

    async def test_unknown_request(self):
        client = await self.connect()
        await self.assert_error(
            client, {"type": "request", "id": "1", "event": "get_worker_status"},
            "UNKNOWN_REQUEST", "Unknown request event: get_worker_status", "1")
        await self.assert_error(client, {"type": "request", "id": "2"}, "UNKNOWN_REQUEST",
                                "Unknown request event: None", "2")
        await self.assert_error(client, {"type": "request", "id": "3", "event": None},
                                "UNKNOWN_REQUEST", "Unknown request event: None", "3")
        await self.assert_error(client, {"type": "request", "id": "4", "event": 'a"b\n'},
                                "UNKNOWN_REQUEST", 'Unknown request event: a"b\n', "4")

    async def test_bad_channels(self):
        client = await self.connect()
        for data in [{}, {"channel": ""}, {"channel": None}, {"channel": 7}, {"channel": ["a"]},
                     {"channel": {"a": 1}}, {"channel": True}, {"channel": "x" * 257},
                     {"channel": " a"}, {"channel": "a "}, {"channel": "a\nb"},
                     {"channel": ":a"}, {"channel": "a\x7fb"}, {"room": ""}, {"room": 5},
                     {"channel": "**:a"}]:
            for event in ("subscribe", "unsubscribe"):
                with self.subTest(data=data, event=event):
                    await self.assert_error(
                        client, {"type": "request", "id": "1", "event": event, "data": data},
                        "INVALID_CHANNEL", correlation="1")

    async def test_longest_channel(self):
        client = await self.connect()
        await client.subscribe("x" * 256)
        # 256 bytes, not characters.
        await client.subscribe("ü" * 128)
        await self.assert_error(
            client, {"type": "request", "id": "1", "event": "subscribe",
                     "data": {"channel": "ü" * 129}}, "INVALID_CHANNEL", correlation="1")

    async def test_missing_argument_of_a_request(self):
        client = await self.connect()
        await self.assert_error(client, {"type": "request", "id": "1", "event": "history"},
                                "INVALID_CHANNEL", correlation="1")
        await self.assert_error(
            client, {"type": "request", "id": "2", "event": "history",
                     "data": {"channel": "a", "limit": "many"}}, "INVALID_REQUEST",
            correlation="2")

    async def test_bad_recover_positions(self):
        client = await self.connect()
        for recover in ("x", 3, [], {}, {"epoch": "e"}, {"offset": 1}, {"epoch": 1, "offset": 1},
                        {"epoch": "e", "offset": "1"}, {"epoch": "e", "offset": -1}):
            with self.subTest(recover=recover):
                await self.assert_error(
                    client, {"type": "request", "id": "1", "event": "subscribe",
                             "data": {"channel": "a", "recover": recover}}, "INVALID_REQUEST",
                    correlation="1")

    async def test_events_and_idle_types_are_ignored_silently(self):
        client = await self.connect()
        for message in [{"type": "event", "event": "diagram.updated", "data": {"a": 1}},
                        {"type": "event"}, {"type": "response", "event": "x"},
                        {"type": "error"}, {"type": "ack"}, {"type": "pong"}]:
            await client.send(message)
        self.assertEqual(await client.until_quiet(), [])

    async def test_auth_on_an_open_listener_without_keys_fails_without_closing(self):
        client = await self.connect()
        await self.assert_error(client, {"type": "request", "id": "1", "event": "auth",
                                         "data": {"token": "x"}}, "AUTH_FAILED",
                                "Invalid or expired token", "1")
        await client.subscribe("still:works")


if __name__ == "__main__":
    main()
