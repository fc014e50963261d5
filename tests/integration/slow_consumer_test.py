"""A client that stops reading, under each backlog policy."""
import asyncio
import json

from harness import Case, RawClient, eventually, main, service, small_config
from harness.raw import PING, PONG, TEXT

# Small kernel buffers, so that a backlog builds up soon.
FILL = "x" * 8000
COUNT = 400


class SlowConsumer(Case):
    @classmethod
    def config(cls):
        return small_config(
            # More than the rest of one send and the events that `latest` keeps.
            service(session_backlog_bytes=262144, channels=[
                {"pattern": "close:*", "backlog_policy": "close", "history_size": 1000},
                {"pattern": "drop:*", "backlog_policy": "drop_oldest"},
                {"pattern": "latest:*", "backlog_policy": "latest", "conflate_field": "key"}]),
            worker={"send_buffer_bytes": 16384, "notsent_lowat_bytes": 8192})

    def stalled(self, channel):
        """Returns a client that has subscribed and reads nothing more."""
        client = RawClient(self.server.port(), receive_buffer=16384)
        self.addCleanup(client.socket.close)
        client.recv_json()
        client.send_json({"type": "request", "id": "s", "event": "subscribe",
                          "data": {"channel": channel}})
        self.assertEqual(client.recv_json()["data"]["status"], "subscribed")
        return client

    def read_to(self, client, last):
        """Reads all frames up to the event whose data.n is `last`."""
        frames = []
        while True:
            frames.append(client.recv_json())
            if frames[-1]["data"].get("n") == last:
                return frames

    async def publish_filled(self, channel, count=COUNT, first=1, **more):
        """Publishes large events on another thread, so that quick clients can read meanwhile."""
        def publish():
            for number in range(first, first + count):
                self.publish(channel, data={"n": number, "fill": FILL, **{
                    name: make(number) for name, make in more.items()}})
        await asyncio.to_thread(publish)

    async def test_close_ends_the_session_with_4000_and_it_recovers_everything(self):
        client = self.stalled("close:a")
        quick = await self.connect()
        await quick.subscribe("close:a")
        # The quick subscriber of the same channel misses nothing.  Its backlog never comes near the
        # budget, even on a slow machine.
        for first in range(1, COUNT + 1, 4):
            await self.publish_filled("close:a", 4, first)
            self.assertEqual(await quick.numbers(4), list(range(first, first + 4)))
        # The stalled client reads the frames in its socket's buffer, and then the close.
        got, close = [], None
        while close is None:
            opcode, payload = client.recv_frame()
            if opcode == TEXT:
                got.append(json.loads(payload))
            elif opcode == PING:
                client.send_frame(PONG, payload)
            else:
                close = int.from_bytes(payload[:2], "big"), payload[2:].decode()
        self.assertEqual(close, (4000, "slow subscriber"))
        numbers = [frame["data"]["n"] for frame in got]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertLess(len(numbers), COUNT)
        again = await self.connect()
        confirmation = await again.subscribe("close:a", recover={
            "epoch": got[-1]["epoch"], "offset": got[-1]["offset"]})
        self.assertIs(confirmation["recovered"], True)
        missing = COUNT - len(numbers)
        self.assertEqual(confirmation["recovered_count"], missing)
        self.assertEqual(await again.numbers(missing), list(range(len(numbers) + 1, COUNT + 1)))

    def assert_every_offset_is_told_once(self, channel, frames):
        """Checks that events and notices have no gap or overlap; returns how many were skipped."""
        position, skipped = 0, 0
        for frame in frames:
            if frame["event"] == "channel.skipped":
                data = frame["data"]
                self.assertEqual(data["channel"], channel)
                self.assertEqual(data["from"], position + 1)
                self.assertGreaterEqual(data["to"], data["from"])
                self.assertIn(data["reason"], ("slow_subscriber", "conflated"))
                skipped += data["to"] - data["from"] + 1
                position = data["to"]
            else:
                self.assertEqual(frame["offset"], position + 1)
                position = frame["offset"]
        self.assertEqual(position, COUNT)
        return skipped

    async def test_drop_oldest_keeps_the_newest_and_tells_what_is_missing(self):
        client = self.stalled("drop:a")
        await self.publish_filled("drop:a")
        frames = self.read_to(client, COUNT)
        self.assertGreater(self.assert_every_offset_is_told_once("drop:a", frames), 0)
        # The session is alive.
        client.send_json({"type": "ping", "id": "p"})
        self.assertEqual(client.recv_json()["type"], "pong")

    async def test_latest_keeps_the_newest_of_each_key(self):
        client = self.stalled("latest:a")
        await self.publish_filled("latest:a", key=lambda number: f"k{number % 3}")
        frames = self.read_to(client, COUNT)
        events = [frame for frame in frames if frame["event"] != "channel.skipped"]
        notices = [frame for frame in frames if frame["event"] == "channel.skipped"]
        self.assertLess(len(events), COUNT)
        self.assertTrue(notices)
        # Order is kept, and the newest of every key arrived.
        offsets = [frame["offset"] for frame in events]
        self.assertEqual(offsets, sorted(offsets))
        newest = {}
        for frame in events:
            newest[frame["data"]["key"]] = frame["data"]["n"]
        self.assertEqual(newest, {f"k{n % 3}": n for n in range(COUNT - 2, COUNT + 1)})
        self.assert_every_offset_is_told_once("latest:a", frames)

    async def test_latest_tells_what_is_missing_between_events_that_stay(self):
        client = self.stalled("latest:b")
        # A few events have their own keys and stay; all others are conflated.
        await self.publish_filled("latest:b", key=lambda number: f"k{number}" if number % 100 == 50
                                  else "often")
        frames = self.read_to(client, COUNT)
        self.assert_every_offset_is_told_once("latest:b", frames)
        self.assertLessEqual({50, 150, 250, 350}, {frame.get("offset") for frame in frames})
        self.assertGreater(sum(frame["event"] == "channel.skipped" for frame in frames), 2)

    async def test_backlog_is_visible_to_operators(self):
        # Up to 256 KiB may wait.  Some of these events wait, and the session stays open.
        client = self.stalled("drop:seen")
        await self.publish_filled("drop:seen", 100)

        def slow():
            connections = self.server.wsctl_json("connections", "list", "--slow")
            rows = connections if isinstance(connections, list) else connections["connections"]
            return [row for row in rows if "drop:seen" in row["channels"]]
        rows = await eventually(slow, "the slow connection in the list")
        self.assertEqual(len(rows), 1)
        self.assertGreater(rows[0]["backlog_bytes"], 0)
        self.assertGreater(rows[0]["dropped"], 0)
        client.socket.close()

    async def test_the_ledger_accounts_for_every_drop(self):
        client = self.stalled("drop:ledger")
        await self.publish_filled("drop:ledger", 200)
        self.read_to(client, 200)

        def balanced():
            entry = [row for row in self.ledger() if row["service"] == "mahavishnu"][0]
            return entry["difference"] == 0 and entry["queued"] == 0
        await eventually(balanced, "the ledger to balance")

    def ledger(self):
        entries = self.server.wsctl_json("ledger")
        return entries if isinstance(entries, list) else entries["entries"]

    async def test_recovery_of_more_than_the_budget_is_paced_not_closed(self):
        first = self.publish("close:long", data={"n": 0})
        await self.publish_filled("close:long", 300)  # 2.4 MB against a budget of 256 KiB
        client = RawClient(self.server.port(), receive_buffer=16384)
        self.addCleanup(client.socket.close)
        client.recv_json()
        client.send_json({"type": "request", "id": "s", "event": "subscribe", "data": {
            "channel": "close:long", "recover": {"epoch": first.position.epoch,
                                                 "offset": first.position.offset}}})
        confirmation = client.recv_json()
        self.assertIs(confirmation["data"]["recovered"], True)
        self.assertEqual(confirmation["data"]["recovered_count"], 300)
        self.assertEqual([frame["data"]["n"] for frame in self.read_to(client, 300)],
                         list(range(1, 301)))


if __name__ == "__main__":
    main()
