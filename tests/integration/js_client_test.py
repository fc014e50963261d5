"""The JavaScript library in Node against the real programs: no event is lost or comes twice, and
what cannot be had is told as one gap."""
import asyncio
import time

from harness import eventually, main, service, small_config
from harness.js_clients import JsCase, subscription
from harness.proxy import Proxy
from harness.token import SECRET


class Faults(JsCase):
    @classmethod
    def config(cls):
        return small_config(
            service(channels=[{"pattern": "short:*", "history_size": 20},
                              {"pattern": "**", "history_size": 3000}],
                    keys=[{"secret": SECRET}], admin_permissions=["admin"]),
            workers=2)

    async def test_workers_are_killed(self):
        count, channels = 2000, [f"kill:{n}" for n in range(3)]
        clients = await self.clients(*(
            self.client(*(subscription(channel, loop=n % 2 == 0) for channel in channels))
            for n in range(12)))
        await clients.subscribed()
        await eventually(lambda: all(worker.sessions for worker in self.server.workers()),
                         "sessions on both workers")
        victims = [worker.pid for worker in self.server.workers()]
        await self.publish_to(channels, 1, 600)
        self.server.kill(victims[0])
        await self.publish_to(channels, 601, 1200)
        self.server.kill(victims[1])
        await self.publish_to(channels, 1201, count)
        report = await clients.seen(count)
        self.assert_complete(report, count)
        for client in report:
            self.assertGreaterEqual(client["connected"], 2)
            self.assertEqual(client["errors"], [])
            for one in client["subscriptions"][:1]:
                self.assertTrue(all(info["recovered"] for info in one["subscribed"][1:]))
        self.assertEqual(await clients.end(), 0)
        await asyncio.to_thread(self.server.wait_ready)

    async def test_links_are_cut_and_fall_silent(self):
        count, channels = 1200, ["link:a", "link:b"]
        # Each connection is cut in the middle of a frame sooner or later.
        async with Proxy(self.server.port(), cut_after=60_000) as link:
            clients = await self.clients(*(
                self.client(*(subscription(channel) for channel in channels), url=link.url,
                            options={"pingInterval": 200, "timeout": 2000})
                for _ in range(4)))
            await clients.subscribed()
            for first in range(1, 1000, 100):
                await self.publish_to(channels, first, first + 99)
                link.cut()
            await clients.seen(1000)
            link.cut_after = None

            async def cut():
                link.cut()
            await clients.reconnected(cut)
            await self.publish_to(channels, 1001, 1100)
            await clients.seen(1100)
            link.stalled = True  # only a ping that is not answered tells
            await self.publish_to(channels, 1101, count)
            await clients.until_each(
                lambda client: any("no answer to a ping" in reason
                                   for _, reason in client["closes"][1:]), "the pings' end")
            link.stalled = False
            link.cut()
            report = await clients.seen(count)
        self.assert_complete(report, count)

    async def test_handlers_are_slow(self):
        count = 1500
        options = {"maxQueuedEvents": 40}
        clients = await self.clients(
            self.client(subscription("slow:a", options=options, delay=0.5),
                        subscription("slow:b", options=options, delay=0.5, loop=True),
                        subscription("slow:quick")))
        await clients.subscribed()
        await self.publish_to(["slow:quick", "slow:a", "slow:b"], 1, count, step=500)
        report = await clients.seen(count)
        self.assert_complete(report, count)
        *slow, quick = report[0]["subscriptions"]
        for one in slow:
            self.assertEqual({info["reason"] for info in one["subscribing"]}, {"slow_handler"})
            self.assertTrue(all(info["recovered"] for info in one["subscribed"][1:]))
        self.assertEqual(quick["subscribing"], [])
        self.assertEqual(report[0]["connected"], 1)

    async def test_a_handler_that_is_slower_than_the_history_is_told_one_gap(self):
        options = {"maxQueuedEvents": 30}
        clients = await self.clients(
            self.client(subscription("short:a", options=options, hold=True),
                        subscription("short:*", options=options, hold=True)))
        await clients.subscribed()
        await self.publish_to(["short:a"], 1, 199)
        await asyncio.to_thread(self.publish, "short:a", data={"n": 200}, level="written")
        await clients.ask("history", "short:a")  # its answer comes behind all of them
        exact, pattern = (await clients.report())[0]["subscriptions"]
        self.assertEqual((exact["state"], pattern["state"]), ("subscribing", "subscribed"))
        await clients.command("release")
        await clients.until(lambda one: one["gaps"], "the gaps")
        await clients.subscribed()
        await self.publish_to(["short:a"], 201, 210)
        report = await clients.until(lambda one: one["numbers"][-1:] == [210], "the last event")
        exact, pattern = report[0]["subscriptions"]
        [gap] = exact["gaps"]
        missing = list(range(gap["from"], gap["to"] + 1))
        self.assertEqual((gap["reason"], gap["after"]), ("history_expired", gap["from"] - 1))
        self.assertGreater(len(missing), 100)
        self.assertEqual(sorted(exact["numbers"] + missing), list(range(1, 211)))
        self.assertEqual(exact["position"]["offset"], 210)
        [gap] = pattern["gaps"]
        self.assertEqual((gap["reason"], gap["from"], gap["to"]), ("slow_handler", None, None))
        self.assertEqual(pattern["numbers"], sorted(set(pattern["numbers"])))
        self.assertLess(len(pattern["numbers"]), 210)

    async def test_tokens_expire(self):
        count, seconds = 400, 7
        renewed, kept, anonymous = (
            self.client(subscription("token:a"), token={"secret": SECRET, "lifetime": 6}),
            # Its getToken has no other token until this one has expired.
            self.client(subscription("token:a"),
                        token={"secret": SECRET, "lifetime": 2, "keep": True}),
            self.client(subscription("token:a")))
        clients = await self.clients(renewed, kept, anonymous)
        await clients.subscribed()
        start = time.monotonic()
        for number in range(8):
            await self.publish_to(["token:a"], number * 50 + 1, number * 50 + 50)
            await asyncio.sleep(max(0, start + (number + 1) * seconds / 8 - time.monotonic()))
        report = await clients.seen(count)
        self.assert_complete(report, count)
        renewed, kept, anonymous = report
        self.assertEqual((renewed["connected"], anonymous["connected"]), (1, 1))
        self.assertGreaterEqual(renewed["tokens"], 2)
        self.assertGreaterEqual(kept["connected"], 2)
        self.assertEqual({code for code, _ in kept["closes"][1:]}, {4004})
        self.assertEqual([one["errors"] for one in report], [[], [], []])


class ControlRestarts(JsCase):
    """The memory engine forgets everything with control."""

    @classmethod
    def config(cls):
        return small_config(service(), workers=2, control={"adopt_window": "3s"})

    async def test_each_channel_gets_one_gap(self):
        channels = [f"restart:{n}" for n in range(3)]
        async with Proxy(self.server.port()) as link:
            stays = self.client(*(subscription(channel) for channel in channels))
            comes_back = self.client(*(subscription(channel) for channel in channels), url=link.url)
            clients = await self.clients(stays, comes_back)
            await clients.subscribed()
            await self.publish_to(channels, 1, 100)
            await clients.seen(100)
            self.server.kill()
            link.cut()
            await asyncio.to_thread(self.server.start)
            await clients.subscribed()
            await self.publish_to(channels, 101, 150)
            report = await clients.until(lambda one: one["numbers"][-1:] == [150], "the last event")
        for client in report:
            for one in client["subscriptions"]:
                [gap] = one["gaps"]
                self.assertEqual((gap["channel"], gap["reason"], gap["after"]),
                                 (one["channel"], "epoch_changed", 100))
                self.assertEqual(one["numbers"][:100], list(range(1, 101)))
                # What the gap names is missing, nothing else.
                missing = 0 if gap["to"] is None else gap["to"]
                self.assertEqual(one["numbers"][100:], list(range(101 + missing, 151)))
                self.assertEqual(one["position"], {"epoch": gap["epoch"], "offset": 50})
        self.assertEqual([client["connected"] for client in report], [1, 2])


if __name__ == "__main__":
    main()
