"""After kill -9 of a worker under load, every subscriber has received every event exactly once."""
import asyncio
import json

import websockets

from harness import Case, eventually, main, service, small_config

SUBSCRIBERS = 60
EVENTS = 4000
CHANNELS = 4


class Follower:
    """A client that reconnects and recovers as docs/protocol.md describes."""

    def __init__(self, url, channel):
        self.url = url
        self.channel = channel
        self.position = None
        self.numbers = []
        self.unrecovered = 0
        self.reconnects = -1

    async def run(self, until):
        while len(self.numbers) < until:
            try:
                async with websockets.connect(self.url, open_timeout=20) as socket:
                    self.reconnects += 1
                    await self._follow(socket, until)
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
                await asyncio.sleep(0.05)

    async def _follow(self, socket, until):
        data = {"channel": self.channel}
        if self.position:
            data["recover"] = self.position
        await socket.send(json.dumps({"type": "request", "id": "s", "event": "subscribe",
                                      "data": data}))
        while len(self.numbers) < until:
            frame = json.loads(await socket.recv())
            if frame["type"] == "response":
                confirmation = frame["data"]
                if self.position is None:
                    self.position = {"epoch": confirmation["epoch"],
                                     "offset": confirmation["offset"]}
                elif not confirmation["recovered"]:
                    self.unrecovered += 1
            elif frame["room"] == self.channel:
                self.numbers.append(frame["data"]["n"])
                self.position = {"epoch": frame["epoch"], "offset": frame["offset"]}


class WorkerKilled(Case):
    @classmethod
    def config(cls):
        return small_config(service(), workers=2,
                            channels=[{"pattern": "**", "history_size": EVENTS}])

    async def test_every_subscriber_counts_every_event_once(self):
        followers = [Follower(self.server.url(), f"load:{number % CHANNELS}")
                     for number in range(SUBSCRIBERS)]
        following = [asyncio.create_task(follower.run(EVENTS)) for follower in followers]
        await eventually(lambda: all(follower.position for follower in followers),
                         "all subscribers")
        def all_have_sessions():
            workers = self.server.workers()
            return len(workers) == 2 and all(w.sessions for w in workers) and workers
        victims = await eventually(all_have_sessions, "sessions on both workers")

        def publish(start):
            for channel in range(CHANNELS):
                self.publisher.publish_many(f"load:{channel}", 100, start)

        loop = asyncio.get_running_loop()
        for start in range(1, EVENTS + 1, 100):
            await loop.run_in_executor(None, publish, start)
            if start == 1001:
                self.server.kill(victims[0].pid)
            if start == 2501:
                self.server.kill(victims[1].pid)
        await asyncio.wait_for(asyncio.gather(*following), 120)

        for number, follower in enumerate(followers):
            self.assertEqual(follower.numbers, list(range(1, EVENTS + 1)), number)
            self.assertEqual(follower.unrecovered, 0, number)
        self.assertGreaterEqual(sum(follower.reconnects for follower in followers), SUBSCRIBERS)
        self.server.wait_ready()
        after = {worker.id: worker.pid for worker in self.server.workers()}
        self.assertEqual(set(after), {worker.id for worker in victims})
        self.assertFalse(set(after.values()) & {worker.pid for worker in victims})


if __name__ == "__main__":
    main()
