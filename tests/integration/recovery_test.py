"""`subscribe` with `recover` delivers exactly the missed events in order, then live events."""
import asyncio

from harness import Case, main, service, small_config


class Recovery(Case):
    @classmethod
    def config(cls):
        return small_config(service(channels=[
            {"pattern": "short:*", "history_size": 10},
            {"pattern": "brief:*", "history_ttl": "200ms"},
            {"pattern": "none:*", "history_size": 0},
            {"pattern": "r:busy", "history_size": 3000}]), workers=2)

    async def test_missed_events_then_live_ones(self):
        client = await self.connect()
        start = await client.subscribe("r:a")
        self.publisher.publish_many("r:a", 5)
        last = (await client.events(5))[-1]
        await client.close()
        self.publisher.publish_many("r:a", 7, first=6)
        again = await self.connect()
        confirmation = await again.subscribe("r:a", recover={
            "epoch": last["epoch"], "offset": last["offset"]})
        self.assertEqual(confirmation["epoch"], start["epoch"])
        self.assertEqual(confirmation["offset"], 12)
        self.assertIs(confirmation["recovered"], True)
        self.assertEqual(confirmation["recovered_count"], 7)
        self.publisher.publish_many("r:a", 3, first=13)
        frames = await again.events(10)
        self.assertEqual([frame["data"]["n"] for frame in frames], list(range(6, 16)))
        self.assertEqual([frame["offset"] for frame in frames], list(range(6, 16)))
        self.assertEqual(await again.until_quiet(), [])

    async def test_nothing_missed(self):
        client = await self.connect()
        start = await client.subscribe("r:nothing")
        again = await self.connect()
        confirmation = await again.subscribe("r:nothing", recover={
            "epoch": start["epoch"], "offset": start["offset"]})
        self.assertIs(confirmation["recovered"], True)
        self.assertEqual(confirmation["recovered_count"], 0)
        self.assertEqual(confirmation["offset"], 0)

    async def test_from_the_beginning(self):
        receipt = self.publish("r:zero", data={"n": 1})
        self.publisher.publish_many("r:zero", 4, first=2)
        client = await self.connect()
        confirmation = await client.subscribe("r:zero", recover={
            "epoch": receipt.position.epoch, "offset": 0})
        self.assertIs(confirmation["recovered"], True)
        self.assertEqual(await client.numbers(5), [1, 2, 3, 4, 5])

    async def test_history_expired_by_size(self):
        receipt = self.publish("short:a")
        self.publisher.publish_many("short:a", 30)
        client = await self.connect()
        confirmation = await client.subscribe("short:a", recover={
            "epoch": receipt.position.epoch, "offset": 1})
        self.assertIs(confirmation["recovered"], False)
        self.assertEqual(confirmation["reason"], "history_expired")
        self.assertEqual(confirmation["offset"], 31)
        # Recovery is never partial: the next frame is a live event.
        self.publish("short:a", data={"n": "live"})
        self.assertEqual((await client.event())["offset"], 32)

    async def test_the_oldest_kept_event_is_just_enough(self):
        receipt = self.publish("short:edge", data={"n": 1})
        self.publisher.publish_many("short:edge", 10, first=2)
        client = await self.connect()
        confirmation = await client.subscribe("short:edge", recover={
            "epoch": receipt.position.epoch, "offset": 1})
        self.assertIs(confirmation["recovered"], True)
        self.assertEqual(await client.numbers(10), list(range(2, 12)))

    async def test_history_expired_by_age(self):
        receipt = self.publish("brief:a")
        self.publish("brief:a")
        await asyncio.sleep(0.6)  # three times the TTL
        client = await self.connect()
        confirmation = await client.subscribe("brief:a", recover={
            "epoch": receipt.position.epoch, "offset": 1})
        self.assertIs(confirmation["recovered"], False)
        self.assertEqual(confirmation["reason"], "history_expired")

    async def test_another_epoch(self):
        self.publish("r:epoch")
        client = await self.connect()
        confirmation = await client.subscribe("r:epoch", recover={
            "epoch": "0123456789abcdef", "offset": 1})
        self.assertIs(confirmation["recovered"], False)
        self.assertEqual(confirmation["reason"], "epoch_changed")
        self.assertEqual(await client.until_quiet(), [])

    async def test_a_pattern_is_not_recovered_and_says_so(self):
        client = await self.connect()
        confirmation = await client.subscribe("rp:*", recover={"epoch": "e", "offset": 1})
        self.assertIs(confirmation["recovered"], False)
        self.assertEqual(confirmation["reason"], "pattern")
        self.publish("rp:a")
        await client.event("test.event")

    async def test_a_channel_named_twice_is_recovered_once(self):
        self.publisher.publish_many("r:twice", 2000)
        client = await self.connect()
        epoch = (await client.subscribe("r:twice"))["epoch"]
        await client.unsubscribe("r:twice")
        entry = {"channel": "r:twice", "recover": {"epoch": epoch, "offset": 1500}}
        for channels in (["r:twice", entry], [entry, "r:twice"]):
            reply = await client.request("subscribe", {"channels": channels})
            results = reply["data"]["results"]
            self.assertEqual(results[0], results[1])
            self.assertEqual((results[0]["recovered"], results[0]["offset"]), (True, 2000))
            self.assertEqual(await client.numbers(500), list(range(1501, 2001)))
            self.assertEqual(await client.until_quiet(), [])
            await client.unsubscribe("r:twice")

    async def test_a_position_from_the_future_is_unknown(self):
        receipt = self.publish("r:future")
        client = await self.connect()
        confirmation = await client.subscribe("r:future", recover={
            "epoch": receipt.position.epoch, "offset": 1000})
        self.assertIs(confirmation["recovered"], False)
        self.assertEqual(confirmation["reason"], "offset_unknown")
        self.assertEqual(confirmation["offset"], 1)

    async def test_history_disabled(self):
        receipt = self.publish("none:a")
        self.publish("none:a")
        client = await self.connect()
        confirmation = await client.subscribe("none:a", recover={
            "epoch": receipt.position.epoch, "offset": 1})
        self.assertIs(confirmation["recovered"], False)
        self.assertEqual(confirmation["reason"], "history_disabled")

    async def test_an_expired_event_is_told_in_its_place(self):
        first = self.publish("r:ttl", data={"n": 1})
        self.publish("r:ttl", data={"n": 2}, ttl_ms=50)
        self.publish("r:ttl", data={"n": 3})
        await asyncio.sleep(0.2)
        client = await self.connect()
        confirmation = await client.subscribe("r:ttl", recover={
            "epoch": first.position.epoch, "offset": 1})
        self.assertIs(confirmation["recovered"], True)
        skipped = await client.event("channel.skipped")
        self.assertEqual({key: skipped["data"][key] for key in ("channel", "from", "to", "reason")},
                         {"channel": "r:ttl", "from": 2, "to": 2, "reason": "expired"})
        self.assertEqual((await client.event())["data"], {"n": 3})

    async def test_skip_history_has_no_position(self):
        client = await self.connect()
        await client.subscribe("r:cursor")
        receipt = self.publish("r:cursor", "cursor.moved", {"x": 1}, skip_history=True)
        self.assertFalse(receipt.HasField("position") and receipt.position.epoch)
        frame = await client.event("cursor.moved")
        self.assertNotIn("offset", frame)
        self.assertNotIn("epoch", frame)
        self.assertEqual(self.publish("r:cursor").position.offset, 1)

    async def test_recovery_while_events_keep_coming(self):
        """Subscribers that reconnect while events are published get each event exactly once."""
        count = 3000
        start = await (await self.connect()).subscribe("r:busy")

        async def publish():
            loop = asyncio.get_running_loop()
            for first in range(1, count + 1, 50):
                await loop.run_in_executor(
                    None, lambda first=first: self.publisher.publish_many("r:busy", 50, first))

        async def follow(changes):
            seen, position = [], {"epoch": start["epoch"], "offset": 0}
            while len(seen) < count:
                client = await self.connect()
                confirmation = await client.subscribe("r:busy", recover=position)
                self.assertIs(confirmation["recovered"], True)
                until = min(count, len(seen) + changes)
                while len(seen) < until:
                    frame = await client.event("test.event")
                    seen.append(frame["data"]["n"])
                    position = {"epoch": frame["epoch"], "offset": frame["offset"]}
                await client.close()
            return seen

        publishing = asyncio.create_task(publish())
        results = await asyncio.gather(*(follow(changes) for changes in (70, 133, 251, 600)))
        await publishing
        for seen in results:
            self.assertEqual(seen, list(range(1, count + 1)))

    async def test_pattern_copies_wait_for_the_recovery(self):
        receipt = self.publish("r:pattern", data={"n": 1})
        self.publisher.publish_many("r:pattern", 200, first=2)
        client = await self.connect()
        await client.subscribe("r:*")
        await client.send({"type": "request", "id": "x", "event": "subscribe", "data": {
            "channel": "r:pattern", "recover": {"epoch": receipt.position.epoch, "offset": 1}}})
        self.publisher.publish_many("r:pattern", 50, first=202)
        frames = []
        while len(frames) < 250:
            frame = await client.recv()
            if frame["type"] == "event" and frame["room"] == "r:pattern":
                frames.append(frame)
        # Events that match the pattern may arrive before the confirmation of the exact
        # subscription.  After the confirmation each event comes once, in order.
        offsets = [frame["offset"] for frame in frames]
        self.assertEqual(sorted(set(offsets)), sorted(offsets), "a publication came twice")
        self.assertEqual(offsets, list(range(2, 252)))


if __name__ == "__main__":
    main()
