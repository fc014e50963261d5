"""A client of the common protocol on Debian's python3-websockets."""
import asyncio
import collections
import itertools
import json
import uuid

import websockets

from .server import PATIENCE

ENVELOPE = ["id", "correlation_id", "type", "event", "data", "timestamp", "room", "error_code",
            "error_message"]


def uuid4():
    return str(uuid.uuid4())


class Client:
    """One connection.  recv() returns frames in order, also those that arrived during request()."""

    def __init__(self, socket):
        self.socket = socket
        self.welcome = None
        self._waiting = collections.deque()  # frames that arrived before a reply
        self._ids = (f"q{number}" for number in itertools.count(1))

    @classmethod
    async def connect(cls, url, welcome=True, **options):
        """Connects and, unless told otherwise, reads the welcome."""
        options.setdefault("max_size", None)
        options.setdefault("max_queue", None)  # reading late makes no slow subscriber
        options.setdefault("open_timeout", PATIENCE)
        client = cls(await websockets.connect(url, **options))
        if welcome:
            client.welcome = await client.recv()
            assert client.welcome["event"] == "session.created", client.welcome
        return client

    @property
    def connection_id(self):
        return self.welcome["data"]["connection_id"]

    async def __aenter__(self):
        return self

    async def __aexit__(self, *unused):
        await self.close()

    async def close(self):
        await self.socket.close()

    async def send(self, message):
        """Sends an object as JSON, or a string or bytes unchanged."""
        await self.socket.send(message if isinstance(message, (str, bytes))
                               else json.dumps(message))

    async def recv_text(self):
        return await asyncio.wait_for(self.socket.recv(), PATIENCE)

    async def recv(self):
        """Returns the next frame, parsed."""
        if self._waiting:
            return self._waiting.popleft()
        return json.loads(await self.recv_text())

    async def reply(self, message):
        """Sends, and returns the next response or error.  Keeps events before it for recv()."""
        await self.send(message)
        return await self.next_reply()

    async def next_reply(self):
        kept = []
        while True:
            frame = await self.recv()
            if frame["type"] != "event":
                self._waiting.extendleft(reversed(kept))
                return frame
            kept.append(frame)

    async def request(self, event, data=None, **keys):
        """Sends a request with a new id and returns its reply; `keys` are more top-level keys."""
        return await self.reply({"type": "request", "id": next(self._ids), "event": event,
                                 "data": {} if data is None else data, **keys})

    async def subscribe(self, channel, **data):
        """Subscribes and returns the confirmation's data."""
        frame = await self.request("subscribe", {"channel": channel, **data})
        assert frame["type"] == "response", frame
        assert frame["data"]["status"] == "subscribed", frame
        return frame["data"]

    async def unsubscribe(self, channel):
        frame = await self.request("unsubscribe", {"channel": channel})
        assert frame["data"]["status"] == "unsubscribed", frame
        return frame["data"]

    async def event(self, name=None):
        """Returns the next frame, which must be an event, and have this name if one is given."""
        frame = await self.recv()
        assert frame["type"] == "event", frame
        assert name is None or frame["event"] == name, frame
        return frame

    async def events(self, count):
        return [await self.event() for _ in range(count)]

    async def numbers(self, count):
        """Returns data.n of the next `count` events."""
        return [frame["data"]["n"] for frame in await self.events(count)]

    async def until_quiet(self):
        """Sends a ping and returns the frames that arrive before the pong."""
        frames = []
        await self.send({"type": "ping", "id": next(self._ids)})
        while True:
            frame = await self.recv()
            if frame["type"] == "pong":
                return frames
            frames.append(frame)

    async def closed(self):
        """Reads until the server has closed the connection; returns (code, reason)."""
        try:
            while True:
                await self.recv_text()
        except websockets.ConnectionClosed as error:
            received = error.rcvd
            return (received.code, received.reason) if received else (1006, "")
