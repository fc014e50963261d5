"""A worker in this process that fanwire.subscriber connects to, with switches for what goes wrong,
and an event loop whose time passes at once.

It answers as the real one does (docs/protocol.md), as far as the tests need it.
"""
import asyncio
import collections
import inspect
import json
import logging
import selectors
import unittest
from unittest import mock

from fanwire import websocket
from fanwire.publication import ChannelState, Gap

URL = "ws://127.0.0.1:1"  # nobody connects there

logging.getLogger("fanwire").addHandler(logging.NullHandler())  # not to stderr


class _SkippingSelector(selectors.SelectSelector):
    def __init__(self):
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        events = super().select(0)
        if not events:
            if timeout is None:
                raise AssertionError("everything waits, and nothing will ever happen")
            self.now += max(0.0, timeout)
        return events


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """Instead of waiting, it sets its time to when the next callback is due."""

    def __init__(self):
        self._fake = _SkippingSelector()
        super().__init__(self._fake)

    def time(self):
        return self._fake.now


class Case(unittest.TestCase):
    """Tests that are coroutine functions run in a FakeTimeLoop, with a FakeWorker: self.worker."""

    def __init_subclass__(cls, **keys):
        super().__init_subclass__(**keys)
        for name, function in list(vars(cls).items()):
            if name.startswith("test") and inspect.iscoroutinefunction(function):
                setattr(cls, name, _in_fake_time(function))


def _in_fake_time(function):
    def run(self):
        loop = FakeTimeLoop()
        asyncio.set_event_loop(loop)
        self.loop = loop
        self.worker = FakeWorker()
        try:
            with mock.patch.object(websocket, "open_socket", self.worker.open_socket):
                loop.run_until_complete(function(self))
            left = asyncio.all_tasks(loop)
            self.assertFalse(left, "tasks that were left behind")
        finally:
            asyncio.set_event_loop(None)
            loop.close()
    return run


async def settle():
    """Lets everything happen that happens without time passing."""
    for _ in range(100):
        await asyncio.sleep(0)


def numbers(items):
    """The numbers of publications; a gap is its reason, and a state "state" with its number."""
    def brief(item):
        if isinstance(item, Gap):
            return item.reason
        return f"state {item.state['n']}" if isinstance(item, ChannelState) else item.data["n"]
    return [brief(item) for item in items]


async def take(subscription, count):
    return [await subscription.__anext__() for _ in range(count)]


class FakeChannel:
    def __init__(self, epoch):
        self.epoch = epoch
        self.offset = 0
        self.history = []  # envelopes

    def reason(self, recover):
        if recover["epoch"] != self.epoch:
            return "epoch_changed"
        if recover["offset"] > self.offset:
            return "offset_unknown"
        kept = self.history[0]["offset"] if self.history else self.offset + 1
        return "" if recover["offset"] + 1 >= kept else "history_expired"


class FakeSocket:
    """Stands for fanwire.websocket.Socket.  The tests use push() and close_with()."""

    def __init__(self, worker):
        self._worker = worker
        self._inbox = collections.deque()
        self._arrived = asyncio.Event()
        self.end = None           # the Closed
        self.closed_by_client = False
        self.subscriptions = {}   # name -> set of event names, or None
        self.received = []        # parsed messages of the client
        self.reads = 0

    def push(self, message):
        if self.end is None and not self.closed_by_client:
            self._inbox.append(json.dumps(message))
            self._arrived.set()

    def event(self, name, data, **keys):
        self.push({"type": "event", "event": name, "data": data, "room": None, **keys})

    def close_with(self, code, reason=""):
        self.end = websocket.Closed(code, reason)
        self._arrived.set()

    async def recv(self):
        while not self._inbox:
            if self.end is not None or self.closed_by_client:
                raise self.end or websocket.Closed(1000, "")
            self._arrived.clear()
            await self._arrived.wait()
        self.reads += 1
        return self._inbox.popleft()

    async def send(self, text):
        await asyncio.sleep(0)
        if self.end is not None or self.closed_by_client:
            raise self.end or websocket.Closed(1000, "")
        message = json.loads(text)
        self.received.append(message)
        self._worker.on_message(self, message, len(text))

    async def close(self):
        await asyncio.sleep(0)
        self.closed_by_client = True
        self._arrived.set()

    def asked(self, name):
        """The data of the client's requests of this name."""
        return [each["data"] for each in self.received if each["event"] == name]


class FakeWorker:
    def __init__(self):
        # Switches:
        self.fail_open = collections.deque()   # exceptions for the next attempts
        self.silent = False                    # no welcome
        self.tokens = None                     # those that are good; None: nobody needs one
        self.limits = {"max_message_bytes": 1 << 20, "max_channels": 1000, "rate_limit": 0,
                       "burst": 0}
        self.hold = False                      # replies wait for release()
        self.refuse = {}                       # channel -> (code, message)
        self.fail_request = {}                 # name -> (code, message)
        self.answers = {"echo": lambda data: data}
        self.states = {}                       # channel -> its state; {"reason": …}: it has none;
                                               # without an entry it is {"n": offset}
        self.echo_mode = False                 # replies have no correlation_id
        # What happened:
        self.sockets = []
        self.opened = []                       # (time, headers)
        self.channels = {}
        self._epochs = 0
        self._held = []

    @property
    def socket(self):
        return self.sockets[-1]

    async def open_socket(self, url, *, headers, ssl, timeout, ping_interval):
        await asyncio.sleep(0)
        self.opened.append((asyncio.get_running_loop().time(), dict(headers)))
        if self.fail_open:
            error = self.fail_open.popleft()
            if error is not None:
                raise error
        socket = FakeSocket(self)
        self.sockets.append(socket)
        if self.silent:
            return socket
        token = headers.get("Authorization", "").partition("Bearer ")[2]
        if self.tokens is None:
            self._welcome(socket)
        elif token:
            if self._is_good(socket, token, {}):
                self._welcome(socket)
        return socket

    def _welcome(self, socket):
        socket.event("session.created", {"connection_id": f"c{len(self.sockets)}",
                                         "server": "mahavishnu", "limits": self.limits})

    def _is_good(self, socket, token, ids):
        if self.tokens is None or token in self.tokens:
            return True
        socket.push({"type": "error", "event": None, "data": {}, "error_code": "AUTH_FAILED",
                     "error_message": "Invalid or expired token", "reason": "claim exp: past",
                     **ids})
        socket.close_with(1008, "Authentication failed")
        return False

    # ------------------------------------------------------------------------- channels

    def channel(self, name):
        if name not in self.channels:
            self._epochs += 1
            self.channels[name] = FakeChannel(f"e{self._epochs}")
        return self.channels[name]

    def publish(self, name, *numbers, event="test.event", send=True, history=True):
        """Publishes an event with {"n": number} for each number.

        send=False: it gets lost on the way to the sessions.  history=False: it expires at once.
        """
        channel = self.channel(name)
        for number in numbers:
            channel.offset += 1
            envelope = {"id": f"{name}-{number}", "type": "event", "event": event, "room": name,
                        "data": {"n": number}, "timestamp": "2026-02-10T20:00:00.123456+00:00",
                        "offset": channel.offset, "epoch": channel.epoch}
            if history:
                channel.history.append(envelope)
            else:
                channel.history.clear()
            for socket in self.sockets if send else ():
                if socket.end is None and self._wants(socket, name, event):
                    socket.push(envelope)

    @staticmethod
    def _wants(socket, channel, event):
        for name, events in socket.subscriptions.items():
            if name in (channel, "**") or (name.endswith(":*") and channel.startswith(name[:-1])):
                if events is None or event in events:
                    return True
        return False

    def restart_control(self):
        """Every channel begins anew, and the sessions are told."""
        for name in list(self.channels):
            self._epochs += 1
            self.channels[name] = FakeChannel(f"e{self._epochs}")
            for socket in self.sockets:
                if socket.end is None and self._wants(socket, name, "test.event"):
                    socket.event("channel.skipped", {
                        "channel": name, "from": 0, "to": 0, "reason": "epoch_changed",
                        "epoch": self.channels[name].epoch}, room=name)

    # ------------------------------------------------------------------------- requests

    def on_message(self, socket, message, size):
        ids = {"request_id": message["id"],
               "correlation_id": None if self.echo_mode else message["id"]}
        name, data = message["event"], message["data"]
        if name in self.fail_request:
            code, text = self.fail_request[name]
            return self._reply(socket, {"type": "error", "event": None, "data": {},
                                        "error_code": code, "error_message": text, **ids})
        response = {"type": "response", "event": name, **ids}
        if name == "auth":
            if self._is_good(socket, data["token"], ids):
                socket.push({**response, "data": {"status": "authenticated"}})
                self._welcome(socket)
        elif name == "refresh_token":
            if data["token"] in self.tokens:
                self._reply(socket, {**response, "data": {"status": "refreshed"}})
            else:
                self._reply(socket, {"type": "error", "event": None, "data": {},
                                     "error_code": "AUTH_FAILED", "error_message": "bad", **ids})
        elif name in ("subscribe", "unsubscribe"):
            self._reply(socket, lambda: self._subscribe(socket, response, name, data))
        elif name == "history":
            channel = self.channel(data["channel"])
            events = [each for each in channel.history
                      if "since" not in data or each["offset"] > data["since"]["offset"]]
            self._reply(socket, {**response, "data": {
                "channel": data["channel"], "epoch": channel.epoch, "offset": channel.offset,
                "events": events[:data["limit"]], "more": len(events) > data["limit"]}})
        elif name in self.answers:
            self._reply(socket, {**response, "data": self.answers[name](data)})
        else:
            self._reply(socket, {"type": "error", "event": None, "data": {},
                                 "error_code": "UNKNOWN_REQUEST",
                                 "error_message": f"Unknown request event: {name}", **ids})

    def _reply(self, socket, reply):
        """Sends a reply, or what a function returns and sends itself, now or later."""
        def send():
            if callable(reply):
                reply()
            else:
                socket.push(reply)
        if self.hold:
            self._held.append(send)
        else:
            send()

    def release(self, reverse=False):
        self.hold = False
        held, self._held = self._held, []
        for send in reversed(held) if reverse else held:
            send()

    def _subscribe(self, socket, response, name, data):
        results, recovered = [], []
        for entry in data.get("channels", [data]):
            if name == "unsubscribe":
                socket.subscriptions.pop(entry, None)
                results.append({"status": "unsubscribed", "channel": entry})
                continue
            channel, recover = entry["channel"], entry.get("recover")
            assert entry is data or "state" not in entry  # the real one refuses it
            if channel in self.refuse:
                code, text = self.refuse[channel]
                results.append({"channel": channel, "error_code": code, "error_message": text})
                continue
            result = {"status": "subscribed", "channel": channel}
            socket.subscriptions[channel] = set(entry["events"]) if "events" in entry else None
            if "*" not in channel:
                state = self.channel(channel)
                result.update(epoch=state.epoch, offset=state.offset)
                if recover is not None:
                    reason = state.reason(recover)
                    result.update(recovered=not reason, recovered_count=0)
                    if reason:
                        result["reason"] = reason
                    else:
                        result["recovered_count"] = state.offset - recover["offset"]
                        recovered += [each for each in state.history
                                      if each["offset"] > recover["offset"]
                                      and self._wants(socket, channel, each["event"])]
                if entry.get("state") and not result.get("recovered"):
                    given = self.states.get(channel, {"n": state.offset})
                    if "reason" in given:
                        result.update(state=None, state_reason=given["reason"])
                    else:
                        result.update(state=given, state_offset=state.offset)
            results.append(result)
        if "channels" in data:
            socket.push({**response, "data": {"status": f"{name}d", "results": results}})
        elif "error_code" in results[0]:
            socket.push({**response, "type": "error", "event": None, "data": {}, **results[0]})
        else:
            socket.push({**response, "data": results[0]})
        for envelope in recovered:
            socket.push(envelope)
