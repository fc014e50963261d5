"""Both libraries' subscriptions with the state: the state comes first, and then exactly the later
events, over killed workers; after a restart of control a gap and another state."""
import asyncio
import collections
import logging

from fanwire.subscriber import ChannelState, Gap, Position, SubscriptionEnded
from harness import Proxy, eventually, main, service, small_config
from harness.js_clients import JsCase, subscription
from harness.server import PATIENCE
from harness.subscriber import Collector, SubscriberCase, in_thread

# Each event has its offset as its number, until control is restarted.
STATUS = [{"request": "get_job", "argument": "job_id", "kind": "job", "initial": {"last": 0},
           "missing": {"last": 0},
           "events": [{"event": "job.moved", "key": "$job_id", "set": {"last": "$n"}}]}]

Seen = collections.namedtuple("Seen", "order position")


def brief_state(state, offset):
    assert state["last"] == offset, (state, offset)
    return f"state {offset}"


class Watcher:
    """A handler that keeps the numbers of events, "state N" and "REASON FIRST-LAST"."""

    def __init__(self, client, channel):
        self.order = []
        self.subscription = client.subscribe(channel, self, state=True)

    def __call__(self, item):
        if isinstance(item, ChannelState):
            self.order.append(brief_state(item.state, item.position.offset))
        elif isinstance(item, Gap):
            self.order.append(f"{item.reason} {item.first}-{item.last}")
        else:
            self.order.append(item.data["n"])

    def seen(self):
        return Seen(self.order, self.subscription.position)


def seen_by_js(one):
    """The same of a subscription of the report of node/js_client.mjs."""
    order = list(one["numbers"])
    # Each knows how many numbers were before it, and a state how many gaps.
    marks = [(gap["after"], index, 1, f"{gap['reason']} {gap['from'] or 0}-{gap['to'] or 0}")
             for index, gap in enumerate(one["gaps"])]
    for state in one["states"]:
        assert (state["type"], state["reason"]) == ("state", None), state
        marks.append((state["after"], state["gaps"], 0,
                      brief_state(state["state"], state["offset"])))
    for after, _, _, mark in sorted(marks, reverse=True):
        order.insert(after, mark)
    return Seen(order, Position(**one["position"]) if one["position"] else None)


class StateCase(JsCase, SubscriberCase):
    async def move(self, jobs, first, last, step=20):
        for start in range(first, last + 1, step):
            for job in jobs:
                await in_thread(self.publisher.publish_batch, [
                    self.publisher.event(f"job:{job}", "job.moved", {"job_id": job, "n": n})
                    for n in range(start, min(start + step, last + 1))])

    async def until_js(self, clients, last):
        """Waits until each subscription had the event with this number; returns their Seens."""
        report = await clients.until(lambda one: one["numbers"][-1:] == [last], f"event {last}")
        return [seen_by_js(one) for client in report for one in client["subscriptions"]]

    async def until_python(self, watchers, last):
        await eventually(lambda: all(each.order[-1:] == [last] for each in watchers),
                         f"event {last}")
        return [each.seen() for each in watchers]


class State(StateCase):
    @classmethod
    def config(cls):
        return small_config(
            service(status_requests=STATUS, channels=[{"pattern": "**", "history_size": 5000}]),
            workers=2)

    async def test_each_sees_every_event_in_the_state_or_after_it(self):
        clients = await self.clients(*(self.client() for _ in range(8)))
        await clients.report()  # they run
        watchers, published, stop = [], 0, asyncio.Event()

        async def publish():
            nonlocal published
            while not stop.is_set():
                published += 1
                await self.move(["busy"], published, published)
        publishing = asyncio.create_task(publish())
        for number in range(8):
            before = published
            await eventually(lambda: published > before, "another event")
            await clients.subscribe(
                subscription("job:busy", options={"state": True}, loop=number % 2 == 0), number)
            watchers.append(Watcher(await self.make(), "job:busy"))
            await watchers[-1].subscription.ready(PATIENCE)
        await clients.subscribed()
        stop.set()
        await publishing
        await self.move(["busy"], published + 1, published + 1)
        seen = (await self.until_js(clients, published + 1)
                + await self.until_python(watchers, published + 1))
        firsts = set()
        for order, position in seen:
            first = int(order[0].split()[1])
            firsts.add(first)
            self.assertEqual(order, [f"state {first}", *range(first + 1, published + 2)])
            self.assertEqual(position.offset, published + 1)
        self.assertEqual(len(seen), 16)
        self.assertGreaterEqual(len(firsts), 8)

    async def test_workers_are_killed(self):
        jobs, count = ["kill_a", "kill_b"], 900
        await self.move(jobs, 1, 5)
        wanted = [subscription(f"job:{job}", options={"state": True}, loop=job == "kill_a")
                  for job in jobs]
        clients = await self.clients(*(self.client(*wanted) for _ in range(6)))
        await clients.subscribed()
        watchers = [Watcher(client, f"job:{job}") for client in
                    [await self.make() for _ in range(6)] for job in jobs]
        for watcher in watchers:
            await watcher.subscription.ready(PATIENCE)
        victims = [worker.pid for worker in self.server.ready_workers()]
        self.assertEqual(len(victims), 2)
        await self.move(jobs, 6, 300)
        self.server.kill(victims[0])
        await self.move(jobs, 301, 600)
        self.server.kill(victims[1])
        await self.move(jobs, 601, count)
        seen = await self.until_js(clients, count) + await self.until_python(watchers, count)
        self.assertEqual(len(seen), 24)
        for order, position in seen:
            self.assertEqual(order, ["state 5", *range(6, count + 1)])
            self.assertEqual(position.offset, count)
        for client in await clients.report():
            self.assertGreaterEqual(client["connected"], 2)
        await in_thread(self.server.wait_ready)

    async def test_a_pattern_of_the_same_client_loses_nothing_to_the_state(self):
        count = 300
        for job in (f"beside:{number}" for number in range(5)):
            channel, by_pattern = f"job:{job}", Collector()
            clients = await self.clients(self.client(subscription("job:beside:*")))
            await clients.subscribed()
            client = await self.make()
            pattern = client.subscribe("job:beside:*", by_pattern)
            await pattern.ready(PATIENCE)
            publishing = asyncio.create_task(self.move([job], 1, count, step=4))
            await eventually(lambda: len(by_pattern.items) > 40, "some events")
            watcher = Watcher(client, channel)
            await clients.subscribe(subscription(channel, options={"state": True}))
            await publishing
            [python] = await self.until_python([watcher], count)
            pattern_seen, js = await self.until_js(clients, count)
            await self.assert_all([by_pattern], list(range(1, count + 1)))
            self.assertEqual(pattern_seen.order, by_pattern.items)
            for order, _ in (python, js):
                first = int(order[0].split()[1])
                self.assertEqual(order, [f"state {first}", *range(first + 1, count + 1)])
            self.assertEqual(await clients.end(), 0)
            await client.close()

    async def test_a_channel_that_has_no_state(self):
        clients = await self.clients(self.client(
            subscription("other:1", options={"state": True}),
            subscription("job:1", options={"state": True})))
        report = await clients.until(lambda one: one["state"] != "subscribing", "the answers")
        other, job = report[0]["subscriptions"]
        self.assertEqual(other["ended"], ["INVALID_REQUEST",
                                          '"other:1": state: no status request tells the state '
                                          'of other:1'])
        self.assertEqual(job["state"], "subscribed")
        client = await self.make()
        with self.assertRaises(SubscriptionEnded) as caught:
            await client.subscribe("other:1", state=True).ready(PATIENCE)
        self.assertEqual(caught.exception.code, "INVALID_REQUEST")


class ControlRestarts(StateCase):
    """The memory engine forgets everything with control."""

    @classmethod
    def config(cls):
        return small_config(service(status_requests=STATUS), workers=2,
                            control={"adopt_window": "3s"})

    async def test_a_gap_and_behind_a_lost_connection_the_state(self):
        jobs = ["a", "b"]
        wanted = [subscription(f"job:{job}", options={"state": True}) for job in jobs]
        async with Proxy(self.server.port()) as link:
            clients = await self.clients(self.client(*wanted), self.client(*wanted, url=link.url))
            stays, comes_back = await self.make(), await self.make(link.url)
            watchers = [Watcher(client, f"job:{job}")
                        for client in (stays, comes_back) for job in jobs]
            for watcher in watchers:
                await watcher.subscription.ready(PATIENCE)
            await clients.subscribed()
            await self.move(jobs, 1, 50)
            await self.until_js(clients, 50)
            await self.until_python(watchers, 50)
            self.server.kill()
            link.cut()
            await in_thread(self.server.start)
            await eventually(lambda: all(any(" 0-0" in str(item) for item in each.order)
                                         for each in watchers), "the gaps")
            await clients.until(lambda one: one["gaps"], "the gaps")
            await clients.subscribed()
            await self.move(jobs, 51, 60)
            by_js = await self.until_js(clients, 60)
            by_python = await self.until_python(watchers, 60)
            for client in (stays, comes_back):
                await client.close()
        for seen in (by_js, by_python):
            for index, (order, position) in enumerate(seen):
                again = ["epoch_changed 0-0", "state 0"][:1 if index < 2 else 2]
                self.assertEqual(order, ["state 0", *range(1, 51), *again, *range(51, 61)])
                self.assertEqual(position.offset, 10)


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
