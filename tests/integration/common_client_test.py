"""The client library mcp_common works: this test repeats its behaviour step by step."""
import asyncio
import json
import uuid

import websockets

from harness import Case, main, service, small_config, token
from harness.token import SECRET


class CommonClient:
    """Behaves as mcp_common.websocket.WebSocketClient.

    It reads one frame as the answer to `auth` and no welcome.  It expects an answer under the
    request's id, although it sends another correlation_id.  It joins rooms by events with
    `data.room`.  It reconnects 1, 2, 4, 8 and 16 s after a connection is lost (here multiplied by
    `scale`), then gives up.
    """

    def __init__(self, url, token=None, scale=1.0):
        self.url, self.token, self.scale = url, token, scale
        self.is_connected = False
        self.authenticated = False
        self.handlers = {}
        self.waiting = {}
        self.rooms = set()
        self.socket = None
        self.reader = None
        self.gave_up = False

    def on_event(self, name, handler):
        self.handlers.setdefault(name, []).append(handler)

    @staticmethod
    def _envelope(**keys):
        return json.dumps({"id": str(uuid.uuid4()), "correlation_id": None, "event": None,
                           "data": {}, "timestamp": "2026-02-10T12:00:00.123456", "room": None,
                           "error_code": None, "error_message": None, **keys})

    async def connect(self):
        self.socket = await websockets.connect(self.url)
        if self.token:
            await self.socket.send(self._envelope(type="request", event="auth",
                                                  data={"token": self.token}))
            answer = json.loads(await self.socket.recv())
            if answer["type"] == "error":
                raise ConnectionError(answer["error_message"])
            self.authenticated = answer["type"] == "response"
        self.reader = asyncio.create_task(self._read())
        self.is_connected = True

    async def _read(self):
        try:
            async for text in self.socket:
                self._dispatch(self._strict(text))
        except websockets.ConnectionClosed:
            pass
        self.is_connected = False
        asyncio.create_task(self._reconnect())

    @staticmethod
    def _strict(text):
        """Checks a frame as the client's message class does: nine keys with their types."""
        message = json.loads(text)
        assert isinstance(message["id"], str)
        assert message["type"] in ("request", "response", "event", "error", "subscribe",
                                   "unsubscribe", "ping", "pong", "ack")
        assert isinstance(message["data"], dict) and isinstance(message["timestamp"], str)
        for key in ("correlation_id", "event", "room", "error_code", "error_message"):
            assert message[key] is None or isinstance(message[key], str)
        return message

    def _dispatch(self, message):
        future = self.waiting.pop(message["correlation_id"], None)
        if future is not None:
            future.set_result(message)
        elif message["event"]:
            for handler in self.handlers.get(message["event"], []):
                handler(message["data"])

    async def _reconnect(self):
        for delay in (1, 2, 4, 8, 16):
            await asyncio.sleep(delay * self.scale)
            try:
                await self.connect()
            except (OSError, ConnectionError, websockets.WebSocketException):
                continue
            for room in self.rooms:
                await self.send("subscribe", {"room": room})
            return
        self.gave_up = True

    async def send(self, event, data):
        if not self.is_connected:
            raise ConnectionError("Not connected")
        await self.socket.send(self._envelope(type="event", event=event, data=data))

    async def send_request(self, event, data, timeout=30):
        if not self.is_connected:
            raise ConnectionError("Not connected")
        identifier = str(uuid.uuid4())
        self.waiting[identifier] = asyncio.get_running_loop().create_future()
        await self.socket.send(self._envelope(type="request", event=event, data=data,
                                              id=identifier, correlation_id=str(uuid.uuid4())))
        return await asyncio.wait_for(self.waiting[identifier], timeout)

    async def subscribe_to_room(self, room):
        await self.send("subscribe", {"room": room})
        self.rooms.add(room)

    async def unsubscribe_from_room(self, room):
        await self.send("unsubscribe", {"room": room})
        self.rooms.discard(room)

    async def disconnect(self):
        self.reader.cancel()
        await self.socket.close()


class CommonClientTest(Case):
    @classmethod
    def config(cls):
        return small_config(
            service(), service("akosha", keys=[{"secret": SECRET}], permissions=[
                {"prefix": "insight*", "any_of": ["akosha:read"]}],
                listener={"auth_required": True}), workers=1)

    async def dial(self, name="mahavishnu", **options):
        client = CommonClient(self.server.url(name), **options)
        welcomes = asyncio.Queue()
        client.on_event("session.created", welcomes.put_nowait)
        await client.connect()
        self.addAsyncCleanup(client.disconnect)
        return client, await asyncio.wait_for(welcomes.get(), 20)

    async def subscribed(self, name, channel):
        """Waits until control knows that the channel has a subscriber."""
        while not self.publish(channel, "probe", service=name, level="written").delivery.matched:
            await asyncio.sleep(0.02)

    async def test_the_welcome_reaches_a_handler_registered_before(self):
        _, welcome = await self.dial()
        self.assertEqual(welcome["server"], "mahavishnu")

    async def test_rooms(self):
        client, _ = await self.dial()
        events = asyncio.Queue()
        client.on_event("workflow.started", events.put_nowait)
        await client.subscribe_to_room("workflow:cc")
        await self.subscribed("mahavishnu", "workflow:cc")
        self.publish("workflow:cc", "workflow.started", {"workflow_id": "cc"})
        self.assertEqual(await asyncio.wait_for(events.get(), 20), {"workflow_id": "cc"})
        await client.unsubscribe_from_room("workflow:cc")
        while self.publish("workflow:cc", "probe", level="written").delivery.matched:
            await asyncio.sleep(0.02)

    async def test_requests_are_answered_under_their_id(self):
        client, _ = await self.dial()
        answer = await client.send_request("subscribe", {"channel": "workflow:rq"}, timeout=20)
        self.assertEqual(answer["data"]["status"], "subscribed")
        answer = await client.send_request("no_such", {}, timeout=20)
        self.assertEqual(answer["error_code"], "UNKNOWN_REQUEST")

    async def test_token(self):
        client, welcome = await self.dial("akosha", token=token("ana", ["akosha:read"]))
        self.assertTrue(client.authenticated)
        self.assertIs(welcome["authenticated"], True)
        events = asyncio.Queue()
        client.on_event("insight.generated", events.put_nowait)
        await client.subscribe_to_room("insights")
        await self.subscribed("akosha", "insights")
        self.publish("insights", "insight.generated", {"title": "t"}, service="akosha")
        self.assertEqual(await asyncio.wait_for(events.get(), 20), {"title": "t"})

    async def test_a_bad_token_is_a_connection_error_and_the_server_closes(self):
        client = CommonClient(self.server.url("akosha"), token="nonsense")
        with self.assertRaisesRegex(ConnectionError, "Invalid or expired token"):
            await client.connect()
        await asyncio.wait_for(client.socket.wait_closed(), 20)
        self.assertEqual(client.socket.close_code, 1008)

    async def test_after_a_lost_connection_it_comes_back_with_its_rooms(self):
        client, _ = await self.dial(scale=0.3)
        events = asyncio.Queue()
        client.on_event("workflow.completed", events.put_nowait)
        for number in range(20):
            await client.subscribe_to_room(f"workflow:back{number}")
        await self.subscribed("mahavishnu", "workflow:back19")
        self.server.kill(self.server.workers()[0].pid)
        while client.is_connected:
            await asyncio.sleep(0.02)
        with self.assertRaises(ConnectionError):
            await client.send("x", {})
        while not client.is_connected:
            self.assertFalse(client.gave_up)
            await asyncio.sleep(0.02)
        for number in range(20):
            await self.subscribed("mahavishnu", f"workflow:back{number}")
        self.publish("workflow:back7", "workflow.completed", {"workflow_id": "back7"})
        self.assertEqual(await asyncio.wait_for(events.get(), 20), {"workflow_id": "back7"})


if __name__ == "__main__":
    main()
