"""Limits of a session and of a service: channels, message size, message rate, connections."""
import asyncio
import json
import pathlib
import re
import socket
import threading
import time

import grpc
import websockets
from fanwire.v1 import publish_pb2

from harness import Case, Client, RawClient, main, raw, service, small_config


def flood(port):
    """Sends pings as fast as the server takes them, until it closes.

    Returns code and reason of the close, the number of errors before, and how long it took.
    """
    with RawClient(port) as client:
        ping = json.dumps({"type": "ping", "id": "f", "fill": "x" * 40}).encode()
        chunk = raw.frame(raw.TEXT, ping) * 500

        def send():
            try:
                while True:
                    client.socket.sendall(chunk)
            except OSError:
                pass  # closed

        began = time.monotonic()
        sender = threading.Thread(target=send)
        sender.start()
        try:
            errors = 0
            while time.monotonic() < began + 30:
                opcode, payload = client.recv_frame()
                if opcode == raw.CLOSE:
                    return (int.from_bytes(payload[:2], "big"), payload[2:].decode(), errors,
                            time.monotonic() - began)
                errors += b"RATE_LIMIT_EXCEEDED" in payload
            return None, "it was not closed within 30 s", errors, 30
        finally:
            client.socket.shutdown(socket.SHUT_RDWR)
            sender.join()


class Limits(Case):
    @classmethod
    def config(cls):
        return small_config(
            service(max_channels_per_session=5),
            service("akosha", message_rate_limit=10, message_rate_burst=15),
            service("crackerjack", max_connections=3),
            service("fastblocks", max_channels=3, max_event_bytes=200),
            service("excalidraw", max_unpublished_channels=20, max_channels=3),
            service("dhruva"))

    async def test_channels_per_session(self):
        client = await self.connect()
        for number in range(5):
            await client.subscribe(f"c{number}")
        reply = await client.request("subscribe", {"channel": "c5"})
        self.assertEqual(reply["error_code"], "LIMIT_EXCEEDED")
        await client.subscribe("c0")  # a channel that it has already
        await client.unsubscribe("c0")
        await client.subscribe("c5")
        self.assertEqual((await self.connect()).welcome["data"]["limits"]["max_channels"], 5)

    async def test_an_address_waits_on_a_tenth_of_the_unpublished_channels(self):
        client = await self.connect("excalidraw")
        for name in ("w0", "w1"):
            await client.subscribe(name)
            await client.unsubscribe(name)
        reply = await client.request("subscribe", {"channel": "w2"})
        self.assertEqual(reply["error_code"], "LIMIT_EXCEEDED")
        self.assertIn("127.0.0.1 holds", reply["error_message"])
        await client.subscribe("w0")
        # Publishers have all their channels all the same, and what is published to is free.
        for name in ("w0", "p1", "p2"):
            self.publish(name, service="excalidraw")
        self.assertEqual((await client.event("test.event"))["room"], "w0")
        await client.subscribe("w2")

    async def test_patterns_count_as_channels(self):
        client = await self.connect()
        for number in range(5):
            await client.subscribe(f"c{number}:*")
        reply = await client.request("subscribe", {"channel": "**"})
        self.assertEqual(reply["error_code"], "LIMIT_EXCEEDED")

    async def test_a_message_of_exactly_one_mebibyte_is_taken(self):
        client = await self.connect("excalidraw")
        message = json.dumps({"type": "ping", "id": "1", "data": {"fill": ""}})
        fill = "x" * (1048576 - len(message))
        message = message.replace('"fill": ""', f'"fill": "{fill}"')
        self.assertEqual(len(message), 1048576)
        self.assertEqual((await client.reply(message))["type"], "pong")

    async def test_a_longer_message_closes_with_1009(self):
        client = await self.connect("excalidraw")
        await client.send("x" * 1048577)
        code, _ = await client.closed()
        self.assertEqual(code, 1009)

    async def test_a_longer_message_in_fragments_closes_with_1009(self):
        client = await self.connect("excalidraw")
        with self.assertRaises(Exception):
            await client.socket.send("x" * 65536 for _ in range(17))
            await client.socket.send("more")
            await client.recv_text()
        self.assertEqual(client.socket.close_code, 1009)

    async def test_message_rate(self):
        client = await self.connect("akosha")
        self.assertEqual(client.welcome["data"]["rate_limit"], 10)
        self.assertEqual(client.welcome["data"]["limits"]["burst"], 15)
        for number in range(40):
            await client.send({"type": "ping", "id": f"p{number}"})
        replies = [await client.recv() for _ in range(40)]
        pongs = [reply for reply in replies if reply["type"] == "pong"]
        errors = [reply for reply in replies if reply["type"] == "error"]
        # The bucket's initial tokens, and those refilled in the meantime.
        self.assertGreaterEqual(len(pongs), 15)
        self.assertLess(len(pongs), 40)
        for reply in errors:
            self.assertEqual(reply["error_code"], "RATE_LIMIT_EXCEEDED")
            match = re.fullmatch(
                r"Message rate limit exceeded\. Retry after (\d+\.\d{3}) seconds\.",
                reply["error_message"])
            self.assertTrue(match, reply["error_message"])
            self.assertLessEqual(float(match.group(1)), 0.1)
        # Each reply has the id of its message, and replies come in order.
        self.assertEqual([reply["correlation_id"] for reply in replies],
                         [f"p{number}" for number in range(40)])
        deadline = time.monotonic() + 5
        while (await client.reply({"type": "ping", "id": "again"}))["type"] != "pong":
            self.assertLess(time.monotonic(), deadline)
            await asyncio.sleep(0.1)

    async def test_undecodable_frames_count_against_the_rate(self):
        client = await self.connect("akosha")
        for _ in range(60):
            await client.send("nonsense")
        codes = [(await client.recv())["error_code"] for _ in range(60)]
        # The burst, and what the rate allowed until all were read: half of them at most.
        self.assertGreaterEqual(codes.count("DECODE_ERROR"), 15)
        self.assertLessEqual(codes.count("DECODE_ERROR"), 45)
        self.assertEqual(codes.count("DECODE_ERROR") + codes.count("RATE_LIMIT_EXCEEDED"), 60)

    async def test_hundreds_of_subscribes_at_once_are_all_answered(self):
        client = await self.connect("dhruva")  # 100 messages a second, 150 at once
        ids = [f"s{number}" for number in range(400)]
        for number, message_id in enumerate(ids):
            await client.send({"type": "request", "id": message_id, "event": "subscribe",
                               "data": {"channel": f"room:{number}"}})
        replies = [await client.recv() for _ in ids]
        self.assertEqual(sorted(reply["correlation_id"] for reply in replies), sorted(ids))
        refused = [reply for reply in replies if reply["type"] == "error"]
        self.assertGreater(len(refused), 0)
        for reply in refused:
            self.assertEqual(reply["error_code"], "RATE_LIMIT_EXCEEDED")

    async def test_a_flood_is_answered_at_the_rate_and_closed_after_ten_seconds(self):
        client = await self.connect("dhruva")
        port = self.server.port("dhruva")
        code, reason, errors, seconds = await asyncio.to_thread(flood, port)
        self.assertEqual((code, reason), (1008, "rate limit"))
        self.assertGreaterEqual(seconds, 10)
        # 150 messages at once and 100 a second, as many errors, and the welcome.
        self.assertLessEqual(errors, 150 + 100 * seconds + 20)
        self.assertEqual((await client.reply({"type": "ping", "id": "1"}))["type"], "pong")

    async def test_connections_of_a_service(self):
        clients = [await self.connect("crackerjack") for _ in range(3)]
        refused = await Client.connect(self.server.url("crackerjack"), welcome=False)
        self.assertEqual(await refused.closed(), (1013, "Server at maximum capacity"))
        # When a connection ends, another client can connect.
        await clients[0].close()
        deadline = time.monotonic() + 10
        while True:
            client = await Client.connect(self.server.url("crackerjack"), welcome=False)
            try:
                first = json.loads(await client.recv_text())
                self.assertEqual(first["event"], "session.created")
                await client.close()
                break
            except Exception:  # noqa: BLE001 - still 1013
                self.assertLess(time.monotonic(), deadline)
                await asyncio.sleep(0.05)
        # The other clients are not affected.
        for client in clients[1:]:
            await client.subscribe("still:works")

    async def test_other_services_are_not_affected(self):
        await asyncio.gather(*(self.connect("excalidraw") for _ in range(20)))

    async def test_channels_of_a_service(self):
        for number in range(3):
            self.publish(f"c{number}", service="fastblocks")
        receipt = self.publisher.publish_batch([
            self.publisher.event("c3", service="fastblocks"),
            self.publisher.event("c0", service="fastblocks")])
        self.assertEqual(receipt[0].status.code, 8)  # RESOURCE_EXHAUSTED
        self.assertEqual(receipt[1].status.code, 0)

    async def test_size_of_an_event(self):
        fits, too_long = "x" * 191, "x" * 192
        self.assertEqual(len(json.dumps({"a": fits})), 200)
        receipts = self.publisher.publish_batch([
            self.publisher.event("c0", data={"a": fits}, service="fastblocks"),
            self.publisher.event("c0", data={"a": too_long}, service="fastblocks")])
        self.assertEqual(receipts[0].status.code, 0, receipts[0].status)
        self.assertEqual(receipts[1].status.code, 3)  # INVALID_ARGUMENT


class LargestEvents(Case):
    """Existing clients close the connection on a message over 1 MiB, so the server never sends one.

    `data` may have a million bytes, and the length of the names around it is limited, so that no
    accepted event makes an envelope over 1 MiB.
    """

    MOST = 1_000_000  # bytes of data
    # Names of the largest size, in which each byte is escaped.
    ROOM, EVENT, ID = ("big:" + '"' * 252, '"' * 128, "\\" * 256)

    @classmethod
    def config(cls):
        return small_config(service(max_event_bytes=cls.MOST))

    def data(self, size):
        """Returns a JSON object of `size` bytes."""
        return json.dumps({"fill": "x" * (size - len('{"fill": ""}'))}).encode()

    def largest(self, size=MOST):
        return publish_pb2.PublishRequest(
            event=publish_pb2.Event(service="mahavishnu", channel=self.ROOM, event=self.EVENT,
                                    id=self.ID, json=self.data(size)),
            receipt_level=publish_pb2.RECEIPT_LEVEL_WRITTEN)

    def publish_largest(self):
        receipt = self.publisher.stub.Publish(self.largest(), timeout=30).receipt
        self.assertEqual(receipt.delivery.written, receipt.delivery.matched)
        return receipt

    def assert_largest(self, text):
        self.assertLessEqual(len(text.encode()), 1 << 20)
        self.assertGreater(len(text.encode()), self.MOST + 1000)
        frame = json.loads(text)
        self.assertEqual((frame["room"], frame["event"], frame["id"]),
                         (self.ROOM, self.EVENT, self.ID))
        self.assertEqual(len(json.dumps(frame["data"])), self.MOST)
        return frame

    async def assert_one_more_is_refused(self):
        with self.assertRaises(grpc.RpcError) as caught:
            await asyncio.to_thread(self.publisher.stub.Publish, self.largest(self.MOST + 1))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(caught.exception.details(),
                         "data: 1000001 bytes, at most 1000000 allowed")

    async def test_python_websockets_as_it_comes(self):
        async with websockets.connect(self.server.url()) as socket:  # max_size: its own 1 MiB
            self.assertEqual(socket.max_size, 1 << 20)
            client = Client(socket)
            await client.recv()
            position = await client.subscribe(self.ROOM)
            receipt = await asyncio.to_thread(self.publish_largest)
            frame = self.assert_largest(await client.recv_text())
            self.assertEqual(frame["offset"], receipt.position.offset)
            await self.assert_one_more_is_refused()
            # The refused event has no position, and the connection continues.
            self.publish(self.ROOM, "small", {"n": 1})
            frame = await client.event("small")
            self.assertEqual(frame["offset"], receipt.position.offset + 1)
            # A recovered event is as long as the live one, also if it is one of several.
            await asyncio.to_thread(self.publish_largest)
            await client.recv_text()
            await client.unsubscribe(self.ROOM)
            confirmation = await client.subscribe(
                self.ROOM, recover={"epoch": position["epoch"], "offset": position["offset"]})
            self.assertEqual((confirmation["recovered"], confirmation["recovered_count"]),
                             (True, 3))
            self.assert_largest(await client.recv_text())
            await client.event("small")
            self.assert_largest(await client.recv_text())
            reply = await client.request("history", {"channel": self.ROOM, "limit": 10})
            self.assertEqual(reply["type"], "response", reply["error_message"])
            self.assertTrue(socket.open)

    async def test_node_ws(self):
        node = pathlib.Path(__file__).parent / "node"
        process = await asyncio.create_subprocess_exec(
            "node", "subscriber.js", self.server.url(), self.ROOM, "2", cwd=node, limit=1 << 22,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        for kind in ("event", "response"):  # the welcome, the confirmation
            self.assertEqual(json.loads(await process.stdout.readline())["type"], kind)
        await asyncio.to_thread(self.publish_largest)
        self.assert_largest((await process.stdout.readline()).decode().rstrip("\n"))
        await self.assert_one_more_is_refused()
        self.publish(self.ROOM, "small", {"n": 1})
        out, err = await process.communicate()
        self.assertEqual(json.loads(out)["event"], "small")
        self.assertIn("closed 1000", err.decode())
        self.assertEqual(process.returncode, 0)


class LimitsOverWorkers(Case):
    """The limit of connections holds for all workers together that share the port."""

    @classmethod
    def config(cls):
        return small_config(service(max_connections=20), workers=3)

    async def test_connections_over_all_workers(self):
        outcomes = []
        for _ in range(30):
            client = await Client.connect(self.server.url(), welcome=False)
            self.addAsyncCleanup(client.close)
            try:
                outcomes.append(json.loads(await client.recv_text())["event"])
            except Exception:  # noqa: BLE001
                outcomes.append(await client.closed())
        self.assertEqual(outcomes.count("session.created"), 20)
        self.assertEqual(outcomes.count((1013, "Server at maximum capacity")), 10)


if __name__ == "__main__":
    main()
