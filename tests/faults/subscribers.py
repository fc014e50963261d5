"""Subscribers of the fault suite.  Each writes the frames that it gets into its journal."""
import asyncio
import json

import websockets
from fanwire.subscriber import Client

from journal import hash_of

LOST = (OSError, asyncio.TimeoutError, websockets.WebSocketException)


class _Base:
    def __init__(self, name, url, channels, journal, role="recovering"):
        self.name = name
        self.positions = {}  # channel -> (epoch, offset), after the last event or gap
        self.connections = 0
        self._url = url
        self._channels = channels
        self._journal = journal
        journal.write("client", client=name, role=role, channels=channels)

    @property
    def _connection(self):
        return f"{self.name}#{self.connections}"

    def _write(self, kind, **fields):
        self._journal.write(kind, client=self.name, connection=self._connection, **fields)

    def _opened(self):
        self.connections += 1
        self._write("opened")

    def _event(self, channel, id, data, epoch, offset):
        self._write("event", channel=channel, id=id, hash=hash_of(data), epoch=epoch,
                    offset=offset)
        self.positions[channel] = (epoch, offset)

    def _gap(self, channel, reason, epoch, last):
        self._write("gap", channel=channel, reason=reason, epoch=epoch, last=last)
        self.positions[channel] = (epoch, last)


class LibraryClient(_Base):
    """The Python library, which connects again and recovers by itself."""

    async def start(self):
        self._client = Client(self._url, min_reconnect_delay=0.05, max_reconnect_delay=0.5,
                              timeout=5, ping_interval=2, on_state=self._on_state)
        for channel in self._channels:
            subscription = self._client.subscribe(channel, self._on_event, on_gap=self._on_gap)
            position = (await subscription.ready(60)).position
            self._write("subscribed", channel=channel, epoch=position.epoch,
                        offset=position.offset, recovering=False, recovered=False)
            self.positions[channel] = tuple(position)

    def _on_state(self, state):
        if state == "connected":
            self._opened()
        elif self.connections:
            self._write("closed")

    def _on_event(self, item):
        self._event(item.channel, item.id, item.data, *item.position)

    def _on_gap(self, gap):
        self._gap(gap.channel, gap.reason, *gap.position)

    async def stop(self):
        self._write("stats", repairs=self._client.stats()["repairs"])
        await self._client.close()


class RawClient(_Base):
    """A WebSocket that follows docs/protocol.md and hides nothing of what it gets.

    slow   reads nothing for so many seconds, now and then
    start_at   positions to recover from at first
    """

    def __init__(self, name, url, channels, journal, role="recovering", slow=0, start_at=None):
        super().__init__(name, url, channels, journal, role)
        self._is_pattern = role == "pattern"
        self._slow = slow
        self._ready = asyncio.Event()
        self._task = None
        self._stopping = False
        if start_at is not None:
            self.positions.update(start_at)
            for channel, (epoch, offset) in start_at.items():
                self._write("subscribed", channel=channel, epoch=epoch, offset=offset,
                            recovering=False, recovered=False)

    async def start(self):
        self._task = asyncio.create_task(self._run())
        await asyncio.wait_for(self._ready.wait(), 60)

    async def stop(self):
        self._stopping = True
        while self._task is not None and not self._task.done():
            self._task.cancel()  # again, because asyncio.wait_for may swallow it
            await asyncio.wait([self._task], timeout=1)

    async def _run(self):
        options = {"open_timeout": 5, "close_timeout": 0.5, "max_size": None,
                   "ping_interval": 2, "ping_timeout": 4}
        if self._slow:  # its pongs wait behind what it does not read
            options.update(ping_interval=None, max_queue=1, read_limit=4096)
        while not self._stopping:
            try:
                async with websockets.connect(self._url, **options) as socket:
                    self._opened()
                    try:
                        await self._follow(socket)
                    finally:
                        self._write("closed")
            except LOST:
                await asyncio.sleep(0.1)

    async def _follow(self, socket):
        asked = {}
        for number, channel in enumerate(self._channels):
            data = {"channel": channel}
            if channel in self.positions and not self._is_pattern:
                epoch, offset = asked[str(number)] = self.positions[channel]
                data["recover"] = {"epoch": epoch, "offset": offset}
            await socket.send(json.dumps({"type": "request", "id": str(number),
                                          "event": "subscribe", "data": data}))
        confirmed = 0
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == "error":
                return  # control was away for too long: try again
            if frame["type"] == "response":
                self._confirmed(frame["data"], frame["correlation_id"] in asked)
                confirmed += 1
                if confirmed == len(self._channels):
                    self._ready.set()
            elif frame["event"] == "channel.skipped":
                self._skipped(frame["data"])
            elif frame.get("room") is not None and frame.get("offset") is not None:
                self._event(frame["room"], frame["id"], frame["data"], frame["epoch"],
                            frame["offset"])
                if self._slow and frame["offset"] % 200 == 0:
                    await asyncio.sleep(self._slow)

    def _confirmed(self, data, recovering):
        if self._is_pattern:
            return
        recovered = bool(data.get("recovered"))
        self._write("subscribed", channel=data["channel"], epoch=data["epoch"],
                    offset=data["offset"], recovering=recovering, recovered=recovered)
        if not recovering:
            self.positions[data["channel"]] = (data["epoch"], data["offset"])
        elif not recovered:
            self._gap(data["channel"], data["reason"], data["epoch"], data["offset"])

    def _skipped(self, data):
        channel = data["channel"]
        epoch = data.get("epoch") or self.positions.get(channel, ("", 0))[0]
        self._gap(channel, data["reason"], epoch, data["to"])
