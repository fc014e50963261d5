"""Both libraries publish: receipts, echo, who has published, refusals, and a killed worker."""
import asyncio
import logging

from fanwire.subscriber import ConnectionLost, Position, RequestFailed
from harness import eventually, main, service, small_config
from harness.js_clients import JsCase, subscription
from harness.server import PATIENCE
from harness.subscriber import SubscriberCase, in_thread

RULES = [{"pattern": "board:*", "events": ["board.changed"], "anonymous": True},
         {"pattern": "board:*", "events": ["cursor.moved"], "anonymous": True,
          "conflate_interval": "200ms", "skip_history": True}]


class Publishing(JsCase, SubscriberCase):
    @classmethod
    def config(cls):
        return small_config(
            service(client_publish=RULES, channels=[{"pattern": "**", "history_size": 5000}]),
            workers=2, limits={"client_publish_rate": 0})

    async def subscribed(self, channel):
        """Returns (the Node process, a Python client, what it sees)."""
        clients = await self.clients(self.client(subscription(channel)))
        await clients.subscribed()
        client, seen = await self.make(), []
        await client.subscribe(channel, seen.append).ready(PATIENCE)
        return clients, client, seen

    async def test_both_see_what_each_publishes(self):
        clients, client, seen = await self.subscribed("board:1")
        for n in range(1, 7):
            data = {"n": n}
            if n % 2:
                receipt = await clients.ask("publish", "board:1", "board.changed", data)
                self.assertEqual((receipt["status"], receipt["offset"]), ("published", n))
                position = Position(receipt["epoch"], receipt["offset"])
            else:
                receipt = await client.publish("board:1", "board.changed", data)
                self.assertEqual((receipt.status, receipt.channel), ("published", "board:1"))
                position = receipt.position
            await eventually(lambda: len(seen) == n, "the event")
            self.assertEqual((seen[-1].data, seen[-1].position), (data, position))
        report = await clients.seen(6)
        self.assert_complete(report, 6)
        mine, other = (welcome["connection_id"] for welcome in
                       (client.welcome, report[0]["welcome"]))
        self.assertEqual([each.publisher["connection_id"] for each in seen], [other, mine] * 3)

    async def test_without_echo(self):
        clients, client, seen = await self.subscribed("board:2")
        receipt = await clients.ask("publish", "board:2", "board.changed", {"n": 1},
                                    {"echo": False})
        self.assertEqual(receipt["offset"], 1)
        await client.publish("board:2", "board.changed", {"n": 2}, echo=False)
        await client.publish("board:2", "board.changed", {"n": 3})
        await eventually(lambda: len(seen) == 2, "the events")
        self.assertEqual([each.data["n"] for each in seen], [1, 3])
        report = await clients.seen(2)
        self.assertEqual(report[0]["subscriptions"][0]["numbers"], [2, 3])
        self.assertEqual(report[0]["subscriptions"][0]["gaps"], [])
        self.assertEqual(client.stats()["gaps"], 0)

    async def test_cursors_are_conflated(self):
        clients, client, seen = await self.subscribed("board:3")
        receipts = await asyncio.gather(*(client.publish("board:3", "cursor.moved", {"n": n})
                                          for n in range(1, 21)))
        # The first goes at once, the last when the interval is over.
        self.assertEqual([each.status for each in (receipts[0], receipts[-1])], ["published"] * 2)
        self.assertIn("conflated", {each.status for each in receipts})
        self.assertEqual({each.position for each in receipts}, {None})
        await eventually(lambda: seen and seen[-1].data == {"n": 20}, "the last")
        self.assertEqual([each.data["n"] for each in seen],
                         [n for n, each in enumerate(receipts, 1) if each.status == "published"])

    async def test_refusals(self):
        clients, client, _ = await self.subscribed("board:4")
        for channel, event, data, code in (
                ("board:4", "board.erased", {}, "FORBIDDEN"),
                ("other:1", "board.changed", {}, "FORBIDDEN"),
                ("", "board.changed", {}, "INVALID_CHANNEL"),
                ("board:4", "board.changed", {"text": "x" * 300_000}, "LIMIT_EXCEEDED")):
            with self.assertRaises(RequestFailed) as caught:
                await client.publish(channel, event, data)
            self.assertEqual(caught.exception.code, code)
            self.assertEqual((await clients.ask("publish", channel, event, data))["code"], code)

    async def test_a_worker_is_killed(self):
        clients, client, seen = await self.subscribed("board:5")
        reader, others = await self.make(), []
        await reader.subscribe("board:5", others.append).ready(PATIENCE)
        sure, n = [], 0

        async def publish(until):
            nonlocal n
            while not until():
                n += 1
                try:
                    await client.publish("board:5", "board.changed", {"n": n})
                    sure.append(n)
                except ConnectionLost:
                    pass  # perhaps it is published
                except RequestFailed as error:
                    if error.code != "UNAVAILABLE":
                        raise
        await publish(lambda: n == 50)
        mine = client.welcome["connection_id"]
        worker, = [each["worker_id"] for each in await in_thread(
            self.server.wsctl_json, "connections", "list") if each["id"] == mine]
        pid, = [each.pid for each in self.server.workers() if each.id == worker]
        publishing = asyncio.create_task(publish(lambda: client.stats()["connections"] > 1
                                                 and n >= 200))
        await eventually(lambda: n > 60, "events")
        self.server.kill(pid)
        await publishing
        for items in (seen, others):
            await eventually(lambda: items[-1].data["n"] == sure[-1], "the last")
            numbers = [each.data["n"] for each in items]
            self.assertEqual(numbers, sorted(set(numbers)))
            self.assertLessEqual(set(sure), set(numbers))
        await in_thread(self.server.wait_ready)


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
