"""Subscriptions by pattern, also several that match the same channel."""
from harness import Case, main


class Patterns(Case):
    async def assert_matches(self, pattern, yes, no):
        client = await self.connect()
        await client.subscribe(pattern)
        for channel in [*no, *yes]:
            self.publish(channel, data={"c": channel})
        # Events of different channels are not ordered, so the test counts them.
        rooms = sorted(frame["room"] for frame in await client.events(len(yes)))
        self.assertEqual(rooms, sorted(yes))
        self.assertEqual(await client.until_quiet(), [])

    async def test_one_segment(self):
        await self.assert_matches("workflow:*", ["workflow:a", "workflow:b"],
                                  ["workflow", "workflow:a:b", "pool:a", "workflows:a"])

    async def test_a_segment_in_the_middle(self):
        await self.assert_matches("a:*:c", ["a:b:c", "a:x:c", "a::c"], ["a:c", "a:b:d", "a:b:b:c"])

    async def test_first_segment(self):
        await self.assert_matches("*:one", ["x:one", "y:one"], ["one", "x:two", "x:y:one"])

    async def test_any_rest(self):
        await self.assert_matches("deep:**", ["deep:a", "deep:a:b", "deep:a:b:c"], ["deeper:a"])

    async def test_everything(self):
        await self.assert_matches("**", ["e1", "e2:a", "e3:a:b"], [])

    async def test_star_inside_a_segment_is_no_pattern(self):
        await self.assert_matches("lit:a*", ["lit:a*"], ["lit:ab"])

    async def test_overlapping_subscriptions_deliver_once(self):
        client = await self.connect()
        for channel in ("over:a", "over:*", "over:**", "**"):
            await client.subscribe(channel)
        self.publish("over:a")
        self.assertEqual((await client.event())["room"], "over:a")
        self.assertEqual(await client.until_quiet(), [])

    async def test_each_can_be_left_alone(self):
        client = await self.connect()
        await client.subscribe("leave:a")
        await client.subscribe("leave:*")
        await client.unsubscribe("leave:a")
        self.publish("leave:a")
        await client.event()
        await client.unsubscribe("leave:*")
        self.assertEqual(self.publish("leave:a", level="written").delivery.matched, 0)

    async def test_a_pattern_has_no_position_but_its_events_do(self):
        client = await self.connect()
        confirmation = await client.subscribe("pos:*")
        self.assertFalse(confirmation.get("recovered", False))
        self.publish("pos:a")
        self.publish("pos:a")
        self.publish("pos:b")
        offsets = sorted((frame["room"], frame["offset"]) for frame in await client.events(3))
        self.assertEqual(offsets, [("pos:a", 1), ("pos:a", 2), ("pos:b", 1)])

    async def test_publishing_to_a_pattern_is_refused(self):
        receipts = self.publisher.publish_batch([self.publisher.event("workflow:*"),
                                                 self.publisher.event("**")])
        self.assertEqual([receipt.status.code for receipt in receipts], [3, 3])

    async def test_rooms_show_patterns_as_entries_of_their_own(self):
        client = await self.connect()
        await client.subscribe("shown:*")
        rooms = self.server.wsctl_json("list-rooms", "--service", "mahavishnu")["rooms"]
        self.assertEqual(rooms["shown:*"], {"subscribers": 1})


if __name__ == "__main__":
    main()
