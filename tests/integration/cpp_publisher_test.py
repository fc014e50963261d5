"""The C++ library publishes while control is stopped, killed and started again: nothing is lost, and
nothing comes twice but what a killed control could not remember."""
import asyncio
import contextlib
import json
import os
import subprocess
import time

import websockets

import harness.server
from harness import Case, main, service, small_config

PATIENCE = harness.server.PATIENCE
WRITTEN = 3


class Numbers:
    """The program publish_numbers."""

    def __init__(self, case, channel, count, level=WRITTEN):
        self._process = subprocess.Popen(
            [str(harness.server.BIN / "publish_numbers"), case.server.address, "mahavishnu",
             channel, str(count), str(level)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        case.addCleanup(self._process.kill)

    def more(self):
        """Publishes the next numbers; returns how many there are now."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def finish(self):
        """Waits for all receipts and returns the counts."""
        out, error = self._process.communicate(timeout=PATIENCE * 3)
        if self._process.returncode != 0:
            raise AssertionError(error)
        return json.loads(out)


class Reader:
    """A subscriber that fills gaps from history, as a client of the protocol does."""

    def __init__(self, client, channel):
        self.client = client
        self.channel = channel
        self.events = []  # (n, id)

    async def read_until(self, last):
        """Reads until the number `last` has come."""
        while not any(n == last for n, _ in self.events):
            frame = await self.client.recv()
            if frame["event"] == "channel.skipped":
                await self._fill(frame["data"])
            elif frame["event"] == "test.number":
                self.events.append((frame["data"]["n"], frame["id"]))

    async def _fill(self, skipped):
        if skipped["to"] == 0:  # a new epoch, of which nothing has been missed yet
            return
        reply = await self.client.request("history", {
            "channel": self.channel, "limit": 1000,
            "since": {"epoch": skipped["epoch"], "offset": skipped["from"] - 1}})
        for event in reply["data"]["events"]:
            if event["offset"] <= skipped["to"]:
                self.events.append((event["data"]["n"], event["id"]))


async def in_thread(function):
    return await asyncio.get_running_loop().run_in_executor(None, function)


class CppPublisher(Case):
    @classmethod
    def config(cls):
        return small_config(service(), control={"adopt_window": "3s"})

    async def reader(self, channel):
        client = await self.connect()
        await client.subscribe(channel)
        return Reader(client, channel)

    async def test_over_an_orderly_restart_each_event_comes_once(self):
        reader = await self.reader("cpp:stopped")
        numbers = Numbers(self, "cpp:stopped", 50)
        self.assertEqual(numbers.more(), 50)
        await reader.read_until(0)
        stopped = asyncio.ensure_future(in_thread(self.server.terminate))
        for _ in range(5):
            numbers.more()
        self.assertEqual(await stopped, 0)
        # Its workers have stopped with it; the subscriber connects again.
        for _ in range(5):
            total = numbers.more()
        await in_thread(self.server.start)
        counts = await in_thread(numbers.finish)
        self.assertEqual(counts["accepted"], total)
        self.assertEqual(counts["duplicates"], 0)
        self.assertGreaterEqual(counts["connections"], 2)
        again = await self.reader("cpp:stopped")
        reply = await again.client.request("history", {"channel": "cpp:stopped", "limit": 1000})
        kept = [event["data"]["n"] for event in reply["data"]["events"]]
        # What the new control has is the end of the series, without a hole.
        self.assertEqual(kept, list(range(total - len(kept), total)))
        seen = [n for n, _ in reader.events]
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                frame = await reader.client.recv()
                if frame["event"] == "test.number":
                    seen.append(frame["data"]["n"])
        self.assertEqual(seen, list(range(total - len(kept))))

    async def test_over_a_kill_nothing_is_lost(self):
        reader = await self.reader("cpp:killed")
        numbers = Numbers(self, "cpp:killed", 100)
        numbers.more()
        await reader.read_until(99)
        for _ in range(3):
            numbers.more()
            self.server.kill()
            numbers.more()
            await in_thread(self.server.start)
            total = numbers.more()
            await reader.read_until(total - 1)
        counts = await in_thread(numbers.finish)
        self.assertEqual(counts["accepted"], total)
        self.assertGreaterEqual(counts["connections"], 4)
        self.assertEqual(sorted({n for n, _ in reader.events}), list(range(total)))
        # An event that comes twice has one id: a subscriber can tell.
        self.assertEqual(len(set(reader.events)), total)

    async def test_an_idle_publisher_and_one_without_control_do_not_spin(self):
        numbers = Numbers(self, "cpp:idle", 1)
        numbers.more()
        self.server.kill()
        try:
            start = time.monotonic()
            while time.monotonic() - start < 1.5:  # some attempts to connect
                await asyncio.sleep(0.1)
        finally:
            await in_thread(self.server.start)
        counts = await in_thread(numbers.finish)
        if not os.environ.get("FANWIRE_SANITIZED"):  # a sanitizer takes so much by itself
            self.assertLess(counts["cpu"], 0.5)


if __name__ == "__main__":
    main()
