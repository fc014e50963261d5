"""Session is one connection of a Client: requests and their answers, from the welcome to the close.

Threading: one event loop.
Cost:      a task that sends, for as long as the connection is open.
"""
import asyncio
import collections
import itertools
import json

from fanwire.errors import ConnectionLost, TokenRefused
from fanwire.websocket import Closed

SMALL_MESSAGE_BYTES = 4096  # the refusal of a longer one does not name its request
RATE_SHARE = 0.9            # of the server's rate, because the two clocks differ


class Signal:
    """Wakes all who wait."""

    def __init__(self):
        self._waiters = set()

    def notify(self):
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self):
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


class Session:
    """Made by open().

    welcome          the data of the server's welcome
    on_request       is called when a request is made
    max_message_bytes   of a message to the server
    token_since      when its token was put in force, by the loop's clock
    drain_delay      the shortest and the longest time in seconds after which a client of a drained
                     worker connects again; None before the server has said that it drains
    """

    def __init__(self, socket, loads):
        self.welcome = {}
        self.drain_delay = None
        self.max_message_bytes = 1 << 20
        self.on_request = lambda: None
        self.token_since = asyncio.get_running_loop().time()
        self._socket = socket
        self._loads = loads
        self._ids = map(str, itertools.count(1))
        self._waiting = {}              # request id -> (callback, bytes, whether it subscribes)
        self._outbox = collections.deque()
        self._work = Signal()
        self._sender = None
        self._rate = self._burst = 0.0
        self._lost = None

    @classmethod
    async def open(cls, socket, loads, token=None):
        """Waits for the welcome.  Sends `token` in the first frame, if there is one.

        Raises TokenRefused, Closed.
        """
        session = cls(socket, loads)
        answered = token is None
        if not answered:
            await socket.send(_text(next(session._ids), "auth", {"token": token}))
        while not (session.welcome and answered):
            message = loads(await socket.recv())
            data = message.get("data") or {}
            if message.get("error_code") in ("AUTH_FAILED", "AUTH_REQUIRED"):
                raise TokenRefused(message["error_code"], ": ".join(
                    part for part in (message.get("error_message"), message.get("reason"))
                    if part))
            if message.get("type") == "response" and message.get("event") == "auth":
                answered = True
            elif message.get("event") == "session.created" and "connection_id" in data:
                session.welcome = data
        limits = session.welcome.get("limits") or {}
        session.max_message_bytes = limits.get("max_message_bytes") or session.max_message_bytes
        session._rate = RATE_SHARE * (limits.get("rate_limit") or 0)
        session._burst = max(1.0, RATE_SHARE * (limits.get("burst") or 1))
        session._sender = asyncio.get_running_loop().create_task(session._send())
        return session

    @property
    def waits(self):
        """Whether a request has no answer yet."""
        return bool(self._waiting)

    async def recv(self):
        """Returns the next message and its size; raises Closed."""
        text = await self._socket.recv()
        return self._loads(text), len(text)

    def request(self, name, data, callback):
        """Sends a request; returns its id.

        callback(reply, error, size) is called once: with the reply and its size, or with
        ConnectionLost.  It is called before the next message is looked at.  Raises TypeError or
        ValueError if the request cannot be sent.
        """
        request_id = next(self._ids)
        if self._lost is not None:
            callback(None, ConnectionLost(f"{name}: {self._lost}"), 0)
            return request_id
        text = _text(request_id, name, data)
        size = len(text.encode())
        if size > self.max_message_bytes:
            raise ValueError(f"{name}: {size} bytes; the server takes {self.max_message_bytes}")
        self._waiting[request_id] = callback, size, name == "subscribe"
        self._outbox.append(text)
        self._work.notify()
        self.on_request()
        return request_id

    def forget(self, request_id):
        """Nobody waits for the answer any more."""
        self._waiting.pop(request_id, None)

    def on_reply(self, message, size):
        """Takes a response or an error."""
        request_id = message.get("request_id")
        if request_id is None and message.get("error_code") == "RATE_LIMIT_EXCEEDED":
            # The server has not looked for the id in a long message.  Only subscribes are repeated.
            request_id = next((each for each, (_, sent, subscribes) in self._waiting.items()
                               if subscribes and sent > SMALL_MESSAGE_BYTES), None)
        if request_id in self._waiting:
            callback = self._waiting[request_id][0]
            self.forget(request_id)
            callback(message, None, size)

    async def close(self, why):
        """Ends the connection; requests without an answer fail with ConnectionLost."""
        self._lost = why
        self._outbox.clear()
        waiting, self._waiting = self._waiting, {}
        for callback, _, _ in waiting.values():
            callback(None, ConnectionLost(
                f"{why}; the request may have been carried out all the same"), 0)
        self._sender.cancel()
        await asyncio.gather(self._sender, self._socket.close(), return_exceptions=True)

    async def _send(self):
        """Sends what is in the outbox, at most as fast as the server takes it."""
        loop = asyncio.get_running_loop()
        tokens, then = self._burst, loop.time()
        while True:
            while not self._outbox:
                await self._work.wait()
            if self._rate > 0:
                now = loop.time()
                tokens, then = min(self._burst, tokens + (now - then) * self._rate), now
                if tokens < 1:
                    await asyncio.sleep((1 - tokens) / self._rate)
                    tokens, then = 1.0, loop.time()
                tokens -= 1
            try:
                await self._socket.send(self._outbox.popleft())
            except Closed:
                return  # who reads learns it, too


def to_json(value):
    """Raises TypeError, or ValueError for numbers that JSON does not have."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _text(request_id, name, data):
    return to_json({"type": "request", "id": request_id, "event": name, "data": data})
