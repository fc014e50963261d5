"""Subscriptions with the state of what their channel is about."""
import asyncio
import random
import unittest

from fake_worker import URL, Case, numbers, settle, take
from fanwire.subscriber import (
    ChannelState,
    Client,
    Gap,
    Position,
    Publication,
    SubscriptionEnded,
)


class State(Case):
    async def cut(self):
        self.worker.socket.close_with(1006)
        await settle()

    async def test_the_state_comes_first_and_exactly_the_later_events_follow(self):
        self.worker.publish("a:1", 1, 2, 3)
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True, events=["test.event"])
            confirmed = await subscription.ready()
            self.worker.publish("a:1", 4, 5)
            items = await take(subscription, 3)
            self.assertEqual(numbers(items), ["state 3", 4, 5])
            state = items[0]
            self.assertIsInstance(state, ChannelState)
            self.assertEqual((state.channel, state.state, state.position, state.reason),
                             ("a:1", {"n": 3}, Position("e1", 3), ""))
            self.assertEqual((state.event, state.data), ("channel.state", {"n": 3}))
            self.assertIn("a:1 {'n': 3}", repr(state))
            self.assertEqual((confirmed.position, confirmed.was_recovering),
                             (Position("e1", 3), False))
            self.assertEqual(self.worker.socket.asked("subscribe"), [
                {"channel": "a:1", "events": ["test.event"], "state": True}])

    async def test_each_is_a_message_of_its_own_and_the_others_still_go_in_one(self):
        async with Client(URL) as client:
            for channel in ("a", "b", "c", "d"):
                client.subscribe(channel, state=channel < "c")
            await client.connect()
            await settle()
            self.assertEqual(self.worker.socket.asked("subscribe"), [
                {"channel": "a", "state": True}, {"channel": "b", "state": True},
                {"channels": [{"channel": "c"}, {"channel": "d"}]}])
            self.assertEqual({each.state for each in client._subscriptions}, {"subscribed"})

    async def test_answers_in_another_order_reach_their_subscriptions(self):
        self.worker.hold = True
        async with Client(URL) as client:
            subscriptions = [client.subscribe(name, state=True) for name in ("a", "b", "c")]
            await client.connect()
            await settle()
            self.worker.publish("b", 1, 2)  # before the answer: only in the state
            self.worker.release(reverse=True)
            self.worker.publish("a", 1)
            self.worker.publish("b", 3)
            await settle()
            self.assertEqual([numbers(item for item, _ in each._queue) for each in subscriptions],
                             [["state 0", 1], ["state 2", 3], ["state 0"]])

    async def test_handlers(self):
        items, states, gaps = [], [], []

        async def on_state(state):
            await asyncio.sleep(1)
            states.append((len(items), state.state))
        async with Client(URL) as client:
            await client.subscribe("a:1", items.append, state=True, on_state=on_state,
                                   on_gap=gaps.append).ready()
            await client.subscribe("b:1", items.append, state=True).ready()
            self.worker.publish("a:1", 1, 2)
            await asyncio.sleep(5)
            self.assertEqual(numbers(items), ["state 0", 1, 2])
            self.assertEqual(states, [(1, {"n": 0})])  # the events waited for it
            self.worker.publish("a:1", 3, send=False, history=False)
            await self.cut()
            await asyncio.sleep(5)
            self.assertEqual([gap.reason for gap in gaps], ["history_expired"])
            self.assertEqual(states[1:], [(3, {"n": 3})])

    async def test_an_iterator_with_on_state(self):
        states = []
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True, on_state=states.append)
            await subscription.ready()
            self.worker.publish("a:1", 1)
            self.assertEqual(numbers(await take(subscription, 1)), [1])
            self.assertEqual([each.state for each in states], [{"n": 0}])

    async def test_there_is_no_position_until_the_state_is_dealt_with(self):
        self.worker.publish("a:1", 1, 2)
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            await subscription.ready()
            self.worker.publish("a:1", 3)
            self.assertEqual(numbers(await take(subscription, 1)), ["state 2"])
            self.assertIsNone(subscription.position)
            self.assertEqual(numbers(await take(subscription, 1)), [3])
            self.assertEqual(subscription.position, Position("e1", 2))

    async def test_what_is_recovered_comes_instead_of_another_state(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            await subscription.ready()
            self.worker.publish("a:1", 1)
            await settle()
            await self.cut()
            self.worker.publish("a:1", 2)
            self.assertEqual(numbers(await take(subscription, 3)), ["state 0", 1, 2])
            self.assertEqual(self.worker.socket.asked("subscribe"), [
                {"channel": "a:1", "recover": {"epoch": "e1", "offset": 1}, "state": True}])
            await settle()
            self.assertEqual(client.stats()["pending"], 1)  # the one in work

    async def test_a_connection_that_is_lost_before_the_answer(self):
        self.worker.hold = True
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            await client.connect()
            await settle()
            await self.cut()
            self.worker.publish("a:1", 1)
            self.worker.hold = False
            self.assertEqual(numbers(await take(subscription, 1)), ["state 1"])

    async def test_what_is_lost_is_a_gap_and_then_another_state(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            await subscription.ready()
            self.worker.publish("a:1", 1)
            await settle()
            await self.cut()
            self.worker.publish("a:1", 2, 3, history=False)
            items = await take(subscription, 4)
            self.assertEqual(numbers(items), ["state 0", 1, "history_expired", "state 3"])
            self.assertEqual((items[2].first, items[2].last), (2, 3))
            await self.cut()
            self.worker.restart_control()
            self.worker.publish("a:1", 7)
            items = await take(subscription, 2)
            self.assertEqual(numbers(items), ["epoch_changed", "state 1"])
            self.assertEqual(items[1].position, Position("e2", 1))
            self.worker.publish("a:1", 8)
            self.assertEqual(numbers(await take(subscription, 1)), [8])
            self.assertEqual((subscription.position, client.stats()["gaps"]),
                             (Position("e2", 1), 2))

    async def test_a_notice_of_skipped_events_is_a_gap_without_a_state(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            await subscription.ready()
            self.worker.restart_control()
            self.worker.publish("a:1", 1)
            self.assertEqual(numbers(await take(subscription, 3)),
                             ["state 0", "epoch_changed", 1])
            self.assertEqual(len(self.worker.socket.asked("subscribe")), 1)

    async def test_a_gap_that_is_repaired_brings_no_state(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            await subscription.ready()
            self.worker.publish("a:1", 1, send=False)
            self.worker.publish("a:1", 2)
            self.assertEqual(numbers(await take(subscription, 3)), ["state 0", 1, 2])
            self.assertEqual(client.stats()["repairs"], 1)

    async def test_from_a_position_the_state_comes_only_if_it_cannot_be_recovered(self):
        self.worker.publish("a:1", 1, 2, 3)
        self.worker.publish("b:1", 1, 2, 3)
        async with Client(URL) as client:
            a = client.subscribe("a:1", state=True, recover=Position("e1", 1))
            b = client.subscribe("b:1", state=True, recover=Position("e0", 1))
            self.assertEqual(numbers(await take(a, 2)), [2, 3])
            self.assertEqual(numbers(await take(b, 2)), ["epoch_changed", "state 3"])

    async def test_without_recovery_each_connection_brings_the_state_and_no_gap(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True, recover=False)
            await subscription.ready()
            await self.cut()
            self.worker.publish("a:1", 1, 2)
            self.assertEqual(numbers(await take(subscription, 2)), ["state 0", "state 2"])
            self.assertEqual(self.worker.socket.asked("subscribe"), [
                {"channel": "a:1", "state": True}])

    async def test_no_state_to_be_had_is_told_as_such(self):
        for reason in ("too_large", "events_missed", "unavailable"):
            self.worker.states[reason] = {"reason": reason}
            async with Client(URL) as client:
                subscription = client.subscribe(reason, state=True)
                await subscription.ready()
                self.worker.publish(reason, 1)
                state, publication = await take(subscription, 2)
                self.assertEqual((state.state, state.reason, state.position.offset),
                                 (None, reason, 0))
                self.assertIn(reason, repr(state))
                self.assertIsInstance(publication, Publication)

    async def test_a_channel_without_a_status_request_ends_the_subscription_and_only_it(self):
        self.worker.refuse["a:1"] = ("INVALID_REQUEST", "state: no status request tells it")
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            other = client.subscribe("b:1", state=True)
            with self.assertRaises(SubscriptionEnded) as caught:
                await subscription.ready()
            self.assertEqual((caught.exception.code, caught.exception.message),
                             ("INVALID_REQUEST", "state: no status request tells it"))
            with self.assertRaises(SubscriptionEnded):
                await take(subscription, 1)
            await other.ready()

    async def test_what_may_be_refused_for_now_is_asked_again_with_the_state(self):
        self.worker.refuse["a:1"] = ("UNAVAILABLE", "later")
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            await asyncio.sleep(30)
            self.worker.publish("a:1", 1)
            del self.worker.refuse["a:1"]
            self.assertEqual(numbers(await take(subscription, 1)), ["state 1"])
            self.assertTrue(all(data.get("state")
                                for data in self.worker.socket.asked("subscribe")))

    async def test_wrong_arguments(self):
        async with Client(URL) as client:
            with self.assertRaisesRegex(ValueError, r"a:\*: a pattern has no state"):
                client.subscribe("a:*", state=True)
            with self.assertRaisesRegex(ValueError, "on_state needs state=True"):
                client.subscribe("a:1", on_state=print)
            client.subscribe("a:*", state=False)

    async def test_a_subscription_that_no_message_takes(self):
        self.worker.limits["max_message_bytes"] = 1000
        async with Client(URL) as client:
            long = client.subscribe("a:1", state=True, events=[str(n) for n in range(300)])
            with self.assertRaisesRegex(SubscriptionEnded, "INVALID_REQUEST.*1000 bytes"):
                await long.ready()

    async def test_the_bytes_of_a_state_that_waits_count(self):
        self.worker.states["a:1"] = {"n": 0, "text": "x" * 5000}
        async with Client(URL, max_pending_bytes=1000) as client:
            subscription = client.subscribe("a:1", state=True)
            await subscription.ready()
            self.worker.publish("a:1", 1, 2)
            await settle()
            self.assertEqual(client.stats()["pending"], 1)  # nothing more is read
            self.assertEqual(numbers(await take(subscription, 3)), ["state 0", 1, 2])

    async def test_ending_drops_a_state_that_waits(self):
        async with Client(URL) as client:
            subscription = client.subscribe("a:1", state=True)
            await subscription.ready()
            subscription.unsubscribe()
            self.assertEqual(client.stats()["pending"], 0)
            with self.assertRaises(StopAsyncIteration):
                await take(subscription, 1)

    async def test_through_faults_each_state_is_followed_by_exactly_the_later_events(self):
        chance = random.Random(11)
        channels = ["a:1", "b:1", "c:1"]
        views = {name: View() for name in channels}
        async with Client(URL, min_reconnect_delay=0.02, max_reconnect_delay=0.1, timeout=1,
                          max_pending=20) as client:
            for name, view in views.items():
                client.subscribe(name, view.take, state=True)
            await client.connect()
            for _ in range(600):
                for name in channels:
                    self.worker.publish(name, *range(chance.randrange(3)))
                dice = chance.random()
                if dice < 0.05:
                    self.worker.socket.close_with(1006)
                elif dice < 0.08:
                    self.worker.publish("a:1", 0, 0, send=False)
                elif dice < 0.11:
                    self.worker.publish("b:1", 0, history=False)
                elif dice < 0.14:
                    self.worker.hold = True
                elif dice < 0.3:
                    self.worker.release(reverse=chance.random() < 0.5)
                elif dice < 0.31:
                    self.worker.restart_control()
                elif dice < 0.32:
                    self.worker.socket.close_with(1006)
                    self.worker.restart_control()
                await asyncio.sleep(chance.random() * 0.03)
            self.worker.release()
            await asyncio.sleep(5)
            for name in channels:
                self.worker.publish(name, 1)
            await asyncio.sleep(5)
            for name, view in views.items():
                channel = self.worker.channel(name)
                self.assertEqual(view.at, Position(channel.epoch, channel.offset), name)
                self.assertGreater(min(view.counts[kind] for kind in (ChannelState, Gap)), 3)
            self.assertEqual(client.stats()["handler_errors"], 0)


class View:
    """What a dashboard makes of a subscription; an item that does not follow on is an error."""

    def __init__(self):
        self.at = None
        self.counts = dict.fromkeys((ChannelState, Gap, Publication), 0)

    async def take(self, item):
        self.counts[type(item)] += 1
        if isinstance(item, ChannelState):
            assert item.state == {"n": item.position.offset}, item
            assert self.at in (None, item.position), (self.at, item)
        elif isinstance(item, Gap):
            if item.position.epoch == self.at.epoch and item.first:
                assert item.first == self.at.offset + 1, (self.at, item)
        else:
            assert item.position == self.at._replace(offset=self.at.offset + 1), (self.at, item)
        self.at = item.position
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    unittest.main(verbosity=2)
