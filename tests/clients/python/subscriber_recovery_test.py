"""What is recovered over lost connections and gaps, and what is told as a gap."""
import asyncio
import unittest

from fake_worker import URL, Case, numbers, settle, take
from fanwire.subscriber import Client, Position, Publication


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
