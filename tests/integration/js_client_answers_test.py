"""The JavaScript library in Node and what the real server answers: tokens, refusals, requests,
limits, goodbyes."""
import asyncio

from harness import main, service, shipped_config, small_config
from harness.js_clients import JsCase, subscription
from harness.proxy import Proxy
from harness.token import SECRET

TOKEN = {"secret": SECRET, "lifetime": 600}


class Answers(JsCase):
    @classmethod
    def config(cls):
        return small_config(
            service(keys=[{"secret": SECRET}], admin_permissions=["admin"],
                    permissions=[{"prefix": "workflow:", "any_of": ["workflow:read"]}],
                    listener={"auth_required": True}),
            service("akosha", channels=[{"pattern": "**", "history_size": 2000}]), workers=2)

    def open_client(self, *subscriptions, **more):
        return self.client(*subscriptions, url=self.server.url("akosha"), **more)

    async def until_disconnected(self, clients):
        return await clients.until_each(lambda client: client["state"] == "disconnected", "the end")

    async def test_tokens(self):
        clients = await self.clients(
            self.client(subscription("workflow:1", loop=True)),
            self.client(subscription("workflow:1"), token={**TOKEN, "secret": "w" * 32}))
        nobody, wrong = await self.until_disconnected(clients)
        self.assertEqual(nobody["disconnected"], [1008, "Authentication required"])
        self.assertEqual(nobody["subscriptions"][0]["ended"][0], "disconnected")
        self.assertEqual(nobody["subscriptions"][0]["thrown"], "DISCONNECTED")
        self.assertEqual((wrong["tokens"], wrong["connected"]), (3, 0))
        self.assertIn("Invalid or expired token", wrong["subscriptions"][0]["ended"][1])

    async def test_permissions(self):
        clients = await self.clients(self.client(
            subscription("workflow:1"), subscription("pool:1", loop=True),
            token={**TOKEN, "permissions": ["workflow:read"]}))
        report = await clients.until(lambda one: one["state"] != "subscribing", "the answers")
        self.assertIs(report[0]["welcome"]["authenticated"], True)
        allowed, refused = report[0]["subscriptions"]
        self.assertEqual(allowed["state"], "subscribed")
        self.assertEqual((refused["state"], refused["thrown"]), ("unsubscribed", "FORBIDDEN"))
        self.assertEqual(refused["ended"],
                         ["FORBIDDEN", '"pool:1": Not authorized to subscribe to pool:1'])
        self.assertEqual((await clients.ask("history", "pool:1"))["code"], "FORBIDDEN")

    async def test_requests(self):
        clients = await self.clients(self.open_client(subscription("ask:a")))
        await clients.subscribed()
        await asyncio.to_thread(self.publisher.publish_many, "ask:a", 10, service="akosha")
        history = await clients.ask("history", "ask:a", {"limit": 3, "reverse": True})
        self.assertEqual([event["data"]["n"] for event in history["events"]], [10, 9, 8])
        self.assertEqual((history["offset"], history["more"]), (10, True))
        since = {"epoch": history["epoch"], "offset": 7}
        history = await clients.ask("history", "ask:a", {"since": since})
        self.assertEqual([event["offset"] for event in history["events"]], [8, 9, 10])
        self.assertEqual(await clients.ask("request", "nothing"),
                         {"code": "UNKNOWN_REQUEST",
                          "message": "Unknown request event: nothing"})
        self.assertEqual((await clients.ask("request", "history", {}))["code"], "INVALID_CHANNEL")

    async def test_as_many_channels_as_a_session_may_have(self):
        channels = [f"many:{number}" for number in range(1000)]
        async with Proxy(self.server.port("akosha")) as link:
            clients = await self.clients(self.client(
                *(subscription(channel) for channel in channels), url=link.url))
            await clients.subscribed()
            link.cut()
            await asyncio.to_thread(self.publish_batch, channels)
            report = await clients.seen(1)
            self.assert_complete(report, 1)
            self.assertEqual(report[0]["connected"], 2)
        clients = await self.clients(self.open_client(
            *(subscription(channel) for channel in [*channels, "one:more"])))
        report = await clients.until(lambda one: one["state"] != "subscribing", "the answers")
        *fit, last = report[0]["subscriptions"]
        self.assertEqual({one["state"] for one in fit}, {"subscribed"})
        self.assertEqual(last["ended"][0], "LIMIT_EXCEEDED")

    def publish_batch(self, channels):
        self.publisher.publish_batch([self.publisher.event(channel, data={"n": 1}, service="akosha")
                                      for channel in channels])

    async def test_a_pattern_and_a_channel_of_it(self):
        count = 600
        async with Proxy(self.server.port("akosha")) as link:
            clients = await self.clients(self.client(
                subscription("mix:1"), subscription("mix:*"), url=link.url))
            await clients.subscribed()
            for first in range(1, count, 200):
                await self.publish_to(["mix:1"], first, first + 99, service="akosha")

                async def lose(first=first + 100):
                    link.cut()
                    await self.publish_to(["mix:1"], first, first + 99, service="akosha")
                await clients.reconnected(lose)
            report = await clients.seen(count)
        exact, pattern = report[0]["subscriptions"]
        self.assertEqual((exact["numbers"], exact["gaps"]), (list(range(1, count + 1)), []))
        # What was recovered for the channel was new to the pattern, which knows of no channel.
        self.assertEqual(pattern["numbers"], list(range(1, count + 1)))
        self.assertEqual([gap["reason"] for gap in pattern["gaps"]], ["pattern"] * 3)

    async def test_events_that_exclude_the_connection(self):
        clients = await self.clients(self.open_client(subscription("echo:a")))
        [client] = await clients.subscribed()
        own = {"exclude_connection": client["welcome"]["connection_id"]}
        for number in range(1, 31):
            await asyncio.to_thread(self.publish, "echo:a", data={"n": number}, service="akosha",
                                    **(own if number % 10 == 0 else {}))
        await clients.until(lambda one: one["numbers"][-1:] == [29], "the last event")
        await asyncio.to_thread(self.publish, "echo:a", data={"n": 31}, service="akosha")
        report = await clients.until(lambda one: one["numbers"][-1:] == [31], "the last event")
        [one] = report[0]["subscriptions"]
        # A jump in offsets looks like a gap; the recovery finds that nothing is missing.
        self.assertEqual(one["numbers"], [n for n in range(1, 32) if n % 10 != 0])
        self.assertEqual((one["gaps"], report[0]["connected"]), ([], 1))
        self.assertEqual({info["reason"] for info in one["subscribing"]}, {"gap"})
        self.assertLessEqual(len(one["subscribing"]), 3)

    async def test_an_operator_disconnects_for_good(self):
        clients = await self.clients(self.open_client(subscription("operator:a")))
        [client] = await clients.subscribed()
        await asyncio.to_thread(self.server.wsctl, "connections", "disconnect",
                                client["welcome"]["connection_id"])
        [client] = await self.until_disconnected(clients)
        self.assertEqual(client["disconnected"][0], 4500)
        self.assertEqual(client["connected"], 1)

    async def test_workers_restart_one_after_the_other(self):
        count, channels = 1500, ["restart:a", "restart:b"]
        clients = await self.clients(*(
            self.open_client(*(subscription(channel) for channel in channels)) for _ in range(6)))
        await clients.subscribed()
        restart = asyncio.create_task(asyncio.to_thread(self.server.wsctl, "workers", "restart"))
        published = 0
        while published < count and not (restart.done() and published >= 500):
            await self.publish_to(channels, published + 1, published + 50, service="akosha")
            published += 50
            await asyncio.sleep(0.05)
        await restart
        report = await clients.seen(published)
        self.assert_complete(report, published)
        for client in report:
            self.assertLessEqual({code for code, _ in client["closes"][1:]}, {1012})
        self.assertGreaterEqual(sum(client["connected"] for client in report), 12)


class Dialect(JsCase):
    @classmethod
    def config(cls):
        return shipped_config()

    async def test_session_buddys_own_port_is_named_as_such(self):
        clients = await self.clients(self.client(
            subscription("metrics"), url=self.server.url("session-buddy")))
        [client] = await clients.until_each(lambda one: one["state"] == "disconnected", "the end")
        self.assertIn("session-buddy's own dialect", client["disconnected"][1])


if __name__ == "__main__":
    main()
