"""Subscribing: what is asked of the server, what it may refuse, and what comes."""
import asyncio
import contextlib
import io
import pathlib
import re
import textwrap
import unittest

from fake_worker import URL, Case, numbers, settle, take
from fanwire.session import to_json
from fanwire.subscriber import Client, Position, SubscriptionEnded
from fanwire.subscription import is_pattern, matcher

ROOT = pathlib.Path(__file__).resolve().parents[3]


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
            subscriptions = [client.subscribe(f"channel:{n:04}") for n in range(2000)]
            for subscription in subscriptions:
                await subscription.ready()
            messages = self.worker.socket.received
            self.assertGreater(len(messages), 1)
            self.assertEqual([entry["channel"] for message in messages
                              for entry in message["data"]["channels"]],
                             [f"channel:{n:04}" for n in range(2000)])
            sizes = [len(to_json(message)) for message in messages]
            self.assertTrue(all(19_000 < size < 20_000 for size in sizes[:-1]), sizes)
            messages.clear()
            for subscription in subscriptions:
                subscription.unsubscribe()
            await settle()
            self.assertGreater(len(messages), 1)
            self.assertEqual(sum(len(each["data"]["channels"]) for each in messages), 2000)

    async def test_as_many_channels_in_a_message_as_the_server_takes(self):
        async with Client(URL) as client:
            for n in range(10_001):
                client.subscribe(f"channel:{n:05}")
            await client.connect()
            await settle()
            self.assertEqual([len(data["channels"])
                              for data in self.worker.socket.asked("subscribe")], [10_000, 1])

    async def test_a_subscription_that_no_message_takes(self):
        self.worker.limits["max_message_bytes"] = 1000
        async with Client(URL) as client:
            long = client.subscribe("a:1", events=["x" * 100] + [str(n) for n in range(300)])
            await client.subscribe("a:2").ready()
            with self.assertRaisesRegex(SubscriptionEnded, "INVALID_REQUEST.*1000 bytes"):
                await long.ready()

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
            with self.assertRaisesRegex(TypeError, "channel"):
                client.subscribe(5)
            for name, events in (("\ud800", None), ("a:1", ["\ud800"])):
                with self.assertRaises(UnicodeError):
                    client.subscribe(name, events=events)
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

    async def test_a_limit_that_it_was_within_before_does_not_end_it(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            await subscription.ready()
            self.worker.refuse["a:1"] = self.worker.refuse["a:2"] = ("LIMIT_EXCEEDED", "too many")
            self.worker.socket.close_with(1006)
            with self.assertRaisesRegex(SubscriptionEnded, "LIMIT_EXCEEDED"):
                await client.subscribe("a:2").ready()
            await asyncio.sleep(20)
            self.assertEqual(subscription.state, "subscribing")
            self.worker.publish("a:1", 1)
            self.worker.refuse.clear()
            self.assertEqual(numbers(await take(subscription, 1)), [1])

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

    async def test_what_others_are_to_see_of_the_member_goes_with_each_subscribe(self):
        info = {"name": "Ana"}
        entry = {"channel": "d:1", "info": {"name": "Ana"}}
        async with Client(URL) as client:
            subscription = client.subscribe("d:1", info=info)
            client.subscribe("d:2", info=info, state=True)
            info["name"] = {"another"}  # no JSON; it is not looked at any more
            await subscription.ready()
            self.assertEqual(self.worker.socket.asked("subscribe"), [
                {"channel": "d:2", "state": True, "info": {"name": "Ana"}},
                {"channels": [entry]}])
            self.worker.socket.event("presence.joined", {"n": 1}, room="d:1")
            [item] = await take(subscription, 1)
            self.assertEqual((item.event, item.position), ("presence.joined", None))
            self.worker.socket.close_with(1006)
            await settle()
            await subscription.ready()
            self.assertEqual(self.worker.socket.asked("subscribe")[-1]["channels"], [
                {**entry, "recover": {"epoch": "e2", "offset": 0}}])
            for wrong in ("Ana", {"n": {1}}):
                with self.assertRaises(TypeError):
                    client.subscribe("d:3", info=wrong)
            for wrong in ({"name": "\ud800"}, {"n": float("nan")}):
                with self.assertRaises(ValueError):
                    client.subscribe("d:3", info=wrong)

    async def test_who_has_published_an_event(self):
        publisher = {"connection_id": "c7", "user_id": None}
        async with Client(URL) as client:
            subscription = client.subscribe("a:1")
            await subscription.ready()
            self.worker.socket.event("a.b", {}, room="a:1", publisher=publisher)
            self.worker.publish("a:1", 1)
            self.assertEqual([each.publisher for each in await take(subscription, 2)],
                             [publisher, None])

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
