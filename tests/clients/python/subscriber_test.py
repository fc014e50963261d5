"""What a subscription brings, in which order, over lost connections and gaps."""
import asyncio
import contextlib
import io
import pathlib
import re
import textwrap
import unittest

from fake_worker import Case, settle
from fanwire.subscriber import Client, Gap, Position, Publication, SubscriptionEnded
from fanwire.subscription import is_pattern, matcher

ROOT = pathlib.Path(__file__).resolve().parents[3]
URL = "ws://127.0.0.1:1"


def numbers(items):
    """The numbers of publications; a gap is its reason."""
    return [item.reason if isinstance(item, Gap) else item.data["n"] for item in items]


async def take(subscription, count):
    return [await subscription.__anext__() for _ in range(count)]


class Subscribing(Case):
    async def test_events_come_in_order_after_the_confirmation(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            self.assertEqual(subscription.state, "subscribing")
            self.worker.publish("a:1", 1)  # before the subscribe
            subscribed = await subscription.ready()
            self.assertEqual((subscribed.position, subscribed.was_recovering, subscription.state),
                             (Position("e1", 1), False, "subscribed"))
            self.worker.publish("a:1", 2, 3)
            first, second = await take(subscription, 2)
            self.assertEqual(
                (first.id, first.channel, first.event, first.data, first.position),
                ("a:1-2", "a:1", "test.event", {"n": 2}, Position("e1", 2)))
            self.assertEqual(second.data, {"n": 3})
            self.assertEqual(client.stats()["received"], 2)

    async def test_the_snippet_of_the_documentation(self):
        text = (ROOT / "docs/clients.md").read_text()
        code = re.search(r"### Subscriptions\n.*?```python\n(.*?)```", text, re.S)[1]
        names = {}
        exec("async def run(client):\n" + textwrap.indent(code, "    "), names)
        async with Client(URL) as client:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                running = asyncio.ensure_future(names["run"](client))
                await client.connect()
                await settle()
                self.worker.publish("workflow:1", 1)
                await settle()
                self.worker.publish("pool:local", 2)  # of another name
                self.worker.socket.event("pool.status_changed", {"status": "busy"},
                                         room="pool:local")
                await settle()
                running.cancel()
            self.assertEqual(output.getvalue(), "test.event {'n': 1}\nbusy\n")

    async def test_all_subscriptions_of_a_turn_are_one_message_on_one_connection(self):
        async with Client(URL) as client:
            await client.connect()
            subscriptions = [client.subscribe("a:1"), client.subscribe("b:*"),
                             client.subscribe("c:1", events=["x.done", "x.began"])]
            for subscription in subscriptions:
                await subscription.ready()
            self.assertEqual(self.worker.socket.asked("subscribe"), [{"channels": [
                {"channel": "a:1"}, {"channel": "b:*"},
                {"channel": "c:1", "events": ["x.began", "x.done"]}]}])
            subscriptions[0].unsubscribe()
            subscriptions[1].unsubscribe()
            await settle()
            self.assertEqual(self.worker.socket.asked("unsubscribe"),
                             [{"channels": ["a:1", "b:*"]}])
            self.assertEqual(len(self.worker.sockets), 1)

    async def test_many_subscriptions_are_as_many_messages_as_the_servers_limit_needs(self):
        self.worker.limits["max_message_bytes"] = 20_000
        async with Client(URL) as client:
            subscriptions = [client.subscribe(f"channel:{n:04}") for n in range(300)]
            for subscription in subscriptions:
                await subscription.ready()
            messages = self.worker.socket.received
            self.assertGreater(len(messages), 1)
            self.assertEqual([entry["channel"] for message in messages
                              for entry in message["data"]["channels"]],
                             [f"channel:{n:04}" for n in range(300)])
            self.assertLess(max(len(str(message)) for message in messages), 20_000)

    async def test_at_most_a_thousand_channels_in_a_message(self):
        async with Client(URL) as client:
            for n in range(1001):
                client.subscribe(f"channel:{n:04}")
            await client.connect()
            await settle()
            self.assertEqual([len(data["channels"])
                              for data in self.worker.socket.asked("subscribe")], [1000, 1])

    async def test_a_subscription_by_a_filter_takes_only_its_events(self):
        async with Client(URL) as client:
            some = client.subscribe("a:1", events=["x"])
            everything = client.subscribe("a:*")
            await everything.ready()
            self.worker.publish("a:1", 1, event="y")
            self.worker.publish("a:1", 2, event="x")
            self.assertEqual(numbers(await take(everything, 2)), [1, 2])
            self.assertEqual(numbers(await take(some, 1)), [2])

    async def test_a_second_subscription_to_a_channel_is_refused(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            with self.assertRaisesRegex(ValueError, "a:1: this client has a subscription"):
                client.subscribe("a:1")
            subscription.unsubscribe()
            await client.subscribe("a:1").ready()

    async def test_wrong_arguments(self):
        for keys, text in (({"url": "http://a"}, "ws://"), ({"token_in": "x"}, "first_frame"),
                           ({"max_pending": 0}, "max_pending")):
            with self.assertRaisesRegex(ValueError, text):
                Client(**{"url": URL, **keys})
        async with Client(URL) as client:
            with self.assertRaisesRegex(TypeError, "events"):
                client.subscribe("a:1", events="x")
            with self.assertRaisesRegex(ValueError, "pattern"):
                client.subscribe("a:*", recover=Position("e", 1))

    async def test_what_comes_for_an_ended_subscription_is_not_for_its_successor(self):
        async with Client(URL) as client:
            await client.subscribe("a:1").ready()
            old = next(iter(client._subscriptions))
            self.worker.publish("a:1", 1)
            old.unsubscribe()
            new = client.subscribe("a:1")
            await new.ready()
            self.worker.publish("a:1", 2)
            self.assertEqual(numbers(await take(new, 1)), [2])

    async def test_what_is_ended_at_once_is_not_subscribed(self):
        async with Client(URL) as client:
            await client.connect()
            client.subscribe("a:1").unsubscribe()
            await settle()
            self.assertEqual(self.worker.socket.asked("subscribe"), [])

    async def test_what_was_to_be_asked_again_is_asked_once_after_a_reconnect(self):
        self.worker.refuse["a:1"] = ("UNAVAILABLE", "later")
        async with Client(URL, min_reconnect_delay=20, max_reconnect_delay=20) as client:
            client.subscribe("a:1")
            await client.connect()
            await settle()
            del self.worker.refuse["a:1"]
            self.worker.socket.event("server.draining", {"reconnect_after_ms": [0, 1],
                                                         "reason": "restart"})
            self.worker.socket.close_with(1012)
            await settle()
            await asyncio.sleep(100)
            self.assertEqual(len(self.worker.sockets), 2)
            self.assertEqual(len(self.worker.socket.asked("subscribe")), 1)

    async def test_refused(self):
        self.worker.refuse["a:1"] = ("FORBIDDEN", "Not authorized to subscribe to a:1")
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            other = client.subscribe("a:2")
            with self.assertRaises(SubscriptionEnded) as caught:
                await subscription.ready()
            self.assertEqual((caught.exception.code, caught.exception.message),
                             ("FORBIDDEN", "Not authorized to subscribe to a:1"))
            with self.assertRaises(SubscriptionEnded):
                await take(subscription, 1)
            self.assertEqual(subscription.state, "unsubscribed")
            await other.ready()
            del self.worker.refuse["a:1"]
            await client.subscribe("a:1").ready()

    async def test_what_may_be_refused_for_now_is_asked_again(self):
        for code in ("UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "INTERNAL_ERROR"):
            self.worker.refuse["a:1"] = (code, "later")
            async with Client(URL) as client:
                subscription = client.subscribe("a:1")
                await asyncio.sleep(60)
                self.assertEqual(subscription.state, "subscribing")
                asked = self.worker.socket.asked("subscribe")
                self.assertTrue(4 < len(asked) < 60, len(asked))
                del self.worker.refuse["a:1"]
                await subscription.ready(20)

    async def test_a_subscription_that_the_server_ends_brings_what_waits_and_then_the_reason(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            await subscription.ready()
            self.worker.publish("a:1", 1)
            self.worker.socket.event("channel.unsubscribed", {
                "channel": "a:1", "reason": "permissions_changed"}, room="a:1")
            await settle()
            self.assertEqual(numbers(await take(subscription, 1)), [1])
            with self.assertRaisesRegex(SubscriptionEnded, "permissions_changed.*a:1"):
                await take(subscription, 1)

    def test_patterns(self):
        for pattern, fitting, others in (
                ("a:*", ["a:1", "a:"], ["a", "a:1:2", "b:1"]),
                ("a:**", ["a:1", "a:1:2", "a:"], ["a", "b:1"]),
                ("**", ["a", "a:b\nc"], []), ("*", ["a"], ["a:b"]),
                ("*:x.y:*", ["a:x.y:1"], ["a:xzy:1", "x.y:1"])):
            matches = matcher(pattern)
            self.assertTrue(is_pattern(pattern))
            for name in fitting:
                self.assertTrue(matches(name), (pattern, name))
            for name in others:
                self.assertFalse(matches(name), (pattern, name))
        self.assertFalse(is_pattern("a*:b"))


class Recovery(Case):
    async def subscribed(self, client, channel="a:1", handler=None, **options):
        subscription = client.subscribe(channel, handler, **options)
        await subscription.ready()
        return subscription

    async def cut(self):
        self.worker.socket.close_with(1006)
        await settle()

    async def test_what_was_missed_comes_once_in_one_resubscribe(self):
        confirmed = []
        async with Client(URL) as client:
            subscription = await self.subscribed(client, on_subscribed=confirmed.append)
            other = await self.subscribed(client, "b:1")
            self.worker.publish("a:1", 1, 2)
            await self.cut()
            self.worker.publish("a:1", 3, 4)
            self.worker.publish("b:1", 1)
            self.assertEqual(numbers(await take(subscription, 4)), [1, 2, 3, 4])
            self.assertEqual(numbers(await take(other, 1)), [1])
            self.assertEqual(self.worker.socket.asked("subscribe"), [{"channels": [
                {"channel": "a:1", "recover": {"epoch": "e1", "offset": 2}},
                {"channel": "b:1", "recover": {"epoch": "e2", "offset": 0}}]}])
            self.worker.publish("a:1", 5)
            self.assertEqual(numbers(await take(subscription, 1)), [5])
            self.assertEqual([(each.was_recovering, each.recovered, each.recovered_count)
                              for each in confirmed], [(False, False, 0), (True, True, 2)])
            self.assertEqual(client.stats()["gaps"], 0)

    async def test_a_connection_that_ends_in_the_middle_of_a_recovery(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            await self.cut()
            self.worker.publish("a:1", *range(1, 10))
            await client.connect()
            while not self.worker.socket.asked("subscribe"):
                await asyncio.sleep(0)
            for _ in range(5):  # of the confirmation and nine events, the rest gets lost
                self.worker.socket._inbox.pop()
            await self.cut()
            self.assertEqual(numbers(await take(subscription, 9)), list(range(1, 10)))

    async def test_the_position_moves_when_the_iterator_is_asked_for_the_next_one(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.assertEqual(subscription.position, Position("e1", 0))
            self.worker.publish("a:1", 1, 2)
            await take(subscription, 1)
            self.assertEqual(subscription.position, Position("e1", 0))
            await take(subscription, 1)
            self.assertEqual(subscription.position, Position("e1", 1))

    async def test_the_position_moves_when_the_handler_has_finished(self):
        go_on, seen = asyncio.Event(), []

        async def handler(publication):
            seen.append((publication.data["n"], subscription.position.offset))
            await go_on.wait()
        async with Client(URL) as client:
            subscription = await self.subscribed(client, handler=handler)
            self.worker.publish("a:1", 1, 2)
            await settle()
            self.assertEqual((seen, subscription.position.offset), ([(1, 0)], 0))
            # What the handler has not finished is in this process: it does not come again.
            await self.cut()
            await client.connect()
            await settle()
            go_on.set()
            await settle()
            self.assertEqual((seen, subscription.position.offset), ([(1, 0), (2, 1)], 2))

    async def test_another_process_goes_on_from_a_position(self):
        self.worker.publish("a:1", 1, 2, 3)
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", recover=Position("e1", 1))
            self.assertEqual(numbers(await take(subscription, 2)), [2, 3])
            other = client.subscribe("b:1", recover=["e1", 1])  # as JSON stores it
            gap, = await take(other, 1)
            self.assertEqual((gap.reason, gap.channel, gap.first, gap.last, gap.position),
                             ("epoch_changed", "b:1", 0, 0, Position("e2", 0)))

    async def test_what_cannot_be_recovered_is_one_gap_in_its_place(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1)
            await self.cut()
            self.worker.publish("a:1", 2)
            self.worker.publish("a:1", 3, history=False)
            await client.connect()
            await subscription.ready()
            self.worker.publish("a:1", 4)
            items = await take(subscription, 3)
            self.assertEqual(numbers(items), [1, "history_expired", 4])
            gap = items[1]
            self.assertEqual((gap.channel, gap.first, gap.last, gap.position),
                             ("a:1", 2, 3, Position("e1", 3)))
            self.assertEqual((gap.event, gap.data), ("channel.skipped", {
                "channel": "a:1", "from": 2, "to": 3, "reason": "history_expired"}))
            await self.cut()  # with the position of the gap, everything is recovered
            self.worker.publish("a:1", 5)
            self.assertEqual(numbers(await take(subscription, 1)), [5])
            self.assertEqual(client.stats()["gaps"], 1)

    async def test_a_restart_of_control_is_one_gap_also_if_the_connection_is_lost_then(self):
        async with Client(URL) as client:
            told, away = await self.subscribed(client), await self.subscribed(client, "b:1")
            self.worker.publish("a:1", 1)
            self.worker.publish("b:1", 1)
            self.worker.restart_control()
            await self.cut()
            self.worker.restart_control()
            await client.connect()
            await settle()
            self.worker.publish("a:1", 1)
            self.worker.publish("b:1", 1)
            # Two restarts: one notice, and one confirmation of another epoch.
            self.assertEqual(numbers(await take(told, 4)),
                             [1, "epoch_changed", "epoch_changed", 1])
            self.assertEqual(numbers(await take(away, 4)),
                             [1, "epoch_changed", "epoch_changed", 1])

    async def test_on_gap_gets_gaps_in_their_place(self):
        for by_handler in (True, False):
            seen = []

            async def on_gap(gap):
                await asyncio.sleep(1)
                seen.append(gap)
            self.worker.channels.clear()
            async with Client(URL) as client:
                subscription = await self.subscribed(
                    client, handler=seen.append if by_handler else None, on_gap=on_gap)
                self.worker.publish("a:1", 1)
                self.worker.restart_control()
                self.worker.publish("a:1", 2)
                if by_handler:
                    await asyncio.sleep(2)
                else:
                    for _ in range(2):
                        seen.append(await subscription.__anext__())
            self.assertEqual(numbers(seen), [1, "epoch_changed", 2])

    async def test_recover_false_goes_on_live_and_tells_no_gap(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client, recover=False)
            pattern = await self.subscribed(client, "a:*", recover=False)
            self.worker.publish("a:1", 1)
            await self.cut()
            self.worker.publish("a:1", 2)
            await client.connect()
            await subscription.ready()
            self.worker.publish("a:1", 3)
            self.worker.restart_control()
            self.worker.publish("a:1", 4)
            self.assertEqual(numbers(await take(subscription, 3)), [1, 3, 4])
            self.assertEqual(numbers(await take(pattern, 3)), [1, 3, 4])
            self.assertNotIn("recover", str(self.worker.socket.received))


class Gaps(Case):
    subscribed = Recovery.subscribed

    async def test_an_event_that_did_not_come_is_recovered(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1)
            self.worker.publish("a:1", 2, 3, send=False)
            self.worker.hold = True
            self.worker.publish("a:1", 4, 5)
            await settle()
            self.worker.publish("a:1", 6)  # while the client waits for the confirmation
            self.worker.release()
            self.worker.publish("a:1", 7)
            self.assertEqual(numbers(await take(subscription, 7)), [1, 2, 3, 4, 5, 6, 7])
            self.assertEqual(self.worker.socket.asked("subscribe")[1:], [{"channels": [
                {"channel": "a:1", "recover": {"epoch": "e1", "offset": 1}}]}])
            self.assertEqual((client.stats()["repairs"], client.stats()["gaps"]), (1, 0))

    async def test_a_notice_before_the_confirmation_says_nothing_that_this_does_not(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1, 2, send=False)
            self.worker.hold = True
            self.worker.publish("a:1", 3)
            await settle()
            self.worker.socket.event("channel.skipped", {
                "channel": "a:1", "from": 1, "to": 2, "reason": "recovery_ended"}, room="a:1")
            self.worker.release()
            self.assertEqual(numbers(await take(subscription, 3)), [1, 2, 3])

    async def test_a_gap_that_history_no_longer_has_is_told(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1)
            self.worker.publish("a:1", 2, send=False, history=False)
            self.worker.publish("a:1", 3)
            await settle()
            self.worker.publish("a:1", 4)
            self.assertEqual(numbers(await take(subscription, 3)), [1, "history_expired", 4])

    async def test_events_that_exclude_this_connection_are_looked_for_once(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1)
            self.worker.publish("a:1", 2, send=False)
            channel = self.worker.channels["a:1"]
            channel.history = [each for each in channel.history if each["offset"] != 2]
            self.worker.publish("a:1", 3)
            await settle()
            self.worker.publish("a:1", 4)
            self.assertEqual(numbers(await take(subscription, 3)), [1, 3, 4])
            self.assertEqual(client.stats()["repairs"], 1)

    async def test_with_a_filter_or_a_pattern_a_jump_is_no_gap(self):
        async with Client(URL) as client:
            some = await self.subscribed(client, events=["x"])
            pattern = await self.subscribed(client, "b:*")
            for channel in ("a:1", "b:1"):
                self.worker.publish(channel, 1, event="x")
                self.worker.publish(channel, 2, event="x", send=False)
                self.worker.publish(channel, 3, event="x")
            self.assertEqual(numbers(await take(some, 2)), [1, 3])
            self.assertEqual(numbers(await take(pattern, 2)), [1, 3])
            self.assertEqual(len(self.worker.socket.asked("subscribe")), 2)

    async def test_an_event_comes_once_even_if_the_server_sends_it_again(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1, 2)
            for envelope in reversed(self.worker.channels["a:1"].history):
                self.worker.socket.push(envelope)
            self.worker.publish("a:1", 3)
            self.assertEqual(numbers(await take(subscription, 3)), [1, 2, 3])

    async def test_another_epoch_is_believed_only_from_a_confirmation_or_a_notice(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1)
            envelope = self.worker.channels["a:1"].history[0]
            self.worker.socket.push({**envelope, "epoch": "stray", "offset": 2})
            self.worker.publish("a:1", 2)
            self.assertEqual(numbers(await take(subscription, 2)), [1, 2])
            self.assertEqual(self.worker.socket.asked("subscribe")[-1]["channels"][0]["recover"],
                             {"epoch": "e1", "offset": 1})

    async def test_a_notice_is_one_gap_and_the_client_goes_on_from_its_end(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1)
            self.worker.publish("a:1", 2, 3, send=False)
            for _ in range(2):  # the second says nothing new
                self.worker.socket.event("channel.skipped", {
                    "channel": "a:1", "from": 2, "to": 3, "reason": "slow_subscriber"}, room="a:1")
            self.worker.publish("a:1", 4)
            gap = (await take(subscription, 2))[1]
            self.assertEqual((gap.reason, gap.first, gap.last, gap.position),
                             ("slow_subscriber", 2, 3, Position("e1", 3)))
            self.assertEqual(numbers(await take(subscription, 1)), [4])
            self.assertEqual(client.stats()["repairs"], 0)

    async def test_events_in_the_range_of_a_combined_notice_are_taken(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", *range(1, 8), send=False)
            self.worker.socket.event("channel.skipped", {
                "channel": "a:1", "from": 1, "to": 6, "reason": "conflated"}, room="a:1")
            history = self.worker.channels["a:1"].history
            for offset in (3, 5, 7):
                self.worker.socket.push(history[offset - 1])
            self.assertEqual(numbers(await take(subscription, 4)), ["conflated", 3, 5, 7])
            self.assertEqual(client.stats()["repairs"], 0)

    async def test_a_pattern_tells_one_gap_for_each_lost_connection(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client, "a:*")
            self.worker.publish("a:1", 1)
            for _ in range(3):  # nobody takes the items: the gaps are one
                self.worker.socket.close_with(1006)
                await asyncio.sleep(30)
            self.worker.publish("a:2", 1)
            items = await take(subscription, 3)
            self.assertEqual(numbers(items), [1, "pattern", 1])
            self.assertEqual((items[1].channel, items[1].position), ("a:*", None))
            self.assertIsNone(subscription.position)
            self.worker.socket.close_with(1006)
            await asyncio.sleep(30)
            self.worker.publish("a:2", 2)
            self.assertEqual(numbers(await take(subscription, 2)), ["pattern", 2])
            self.worker.restart_control()
            gap, other = await take(subscription, 2)
            self.assertEqual((gap.reason, {gap.channel, other.channel}),
                             ("epoch_changed", {"a:1", "a:2"}))

    async def test_a_gap_that_is_being_told_is_not_the_next_one(self):
        told, go_on = [], asyncio.Event()

        async def on_gap(gap):
            told.append(gap.reason)
            await go_on.wait()
        async with Client(URL) as client:
            await self.subscribed(client, "a:*", handler=print, on_gap=on_gap)
            for _ in range(3):
                self.worker.socket.close_with(1006)
                await asyncio.sleep(30)
            go_on.set()
            await settle()
            self.assertEqual(told, ["pattern", "pattern"])

    async def test_what_a_name_recovers_does_not_come_to_a_pattern_again(self):
        async with Client(URL) as client:
            pattern = await self.subscribed(client, "a:*")
            self.worker.publish("a:1", 1, 2)
            exact = await self.subscribed(client, recover=Position("e1", 0))
            self.worker.publish("a:1", 3)
            self.assertEqual(numbers(await take(exact, 3)), [1, 2, 3])
            self.assertEqual(numbers(await take(pattern, 3)), [1, 2, 3])
            self.assertEqual(client.stats()["pending"], 2)  # the last one of each

    async def test_events_without_a_position_just_come(self):
        async with Client(URL) as client:
            subscription = await self.subscribed(client)
            self.worker.publish("a:1", 1)
            for n in (7, 7):
                self.worker.socket.event("cursor.moved", {"n": n}, room="a:1")
            self.worker.publish("a:1", 2)
            items = await take(subscription, 4)
            self.assertEqual(numbers(items), [1, 7, 7, 2])
            self.assertIsNone(items[1].position)
            self.assertIsInstance(items[1], Publication)
            self.assertEqual(subscription.position, Position("e1", 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
