"""`subscribe` with `data.events` delivers only events with these names."""
from harness import Case, main


class Filters(Case):
    async def names(self, client, count):
        return [frame["event"] for frame in await client.events(count)]

    def publish_all(self, channel):
        for name in ("workflow.started", "workflow.stage_completed", "workflow.failed"):
            self.publish(channel, name, level="written")

    async def test_only_the_named_events(self):
        client = await self.connect()
        await client.subscribe("f:a", events=["workflow.failed", "workflow.started"])
        self.publish_all("f:a")
        self.assertEqual(await self.names(client, 2), ["workflow.started", "workflow.failed"])
        self.assertEqual(await client.until_quiet(), [])

    async def test_on_a_pattern(self):
        client = await self.connect()
        await client.subscribe("fp:*", events=["workflow.failed"])
        self.publish_all("fp:a")
        self.publish_all("fp:b")
        self.assertEqual([frame["room"] for frame in await client.events(2)], ["fp:a", "fp:b"])
        self.assertEqual(await client.until_quiet(), [])

    async def test_filters_of_overlapping_subscriptions_are_united(self):
        client = await self.connect()
        await client.subscribe("fu:a", events=["workflow.failed"])
        await client.subscribe("fu:*", events=["workflow.started", "workflow.failed"])
        self.publish_all("fu:a")
        self.assertEqual(await self.names(client, 2), ["workflow.started", "workflow.failed"])
        self.assertEqual(await client.until_quiet(), [])

    async def test_a_later_subscribe_replaces_the_filter(self):
        client = await self.connect()
        await client.subscribe("fr:a", events=["workflow.failed"])
        await client.subscribe("fr:a")
        self.publish_all("fr:a")
        await client.events(3)
        await client.subscribe("fr:a", events=["workflow.started"])
        self.publish_all("fr:a")
        self.assertEqual(await self.names(client, 1), ["workflow.started"])
        self.assertEqual(await client.until_quiet(), [])

    async def test_matched_counts_after_the_filter(self):
        client = await self.connect()
        await client.subscribe("fm:a", events=["workflow.failed"])
        receipt = self.publish("fm:a", "workflow.started", level="written")
        self.assertEqual(receipt.delivery.matched, 0)
        receipt = self.publish("fm:a", "workflow.failed", level="written")
        self.assertEqual(receipt.delivery.matched, 1)

    async def test_recovery_is_filtered_too(self):
        client = await self.connect()
        start = await client.subscribe("fh:a")
        await client.unsubscribe("fh:a")
        self.publish_all("fh:a")
        confirmation = await client.subscribe("fh:a", events=["workflow.failed"], recover={
            "epoch": start["epoch"], "offset": 0})
        self.assertIs(confirmation["recovered"], True)
        # The count includes all missed positions; the filter passes one of them.
        self.assertEqual(confirmation["offset"], 3)
        self.assertEqual(confirmation["recovered_count"], 3)
        self.assertEqual(await self.names(client, 1), ["workflow.failed"])
        self.assertEqual(await client.until_quiet(), [])

    async def test_one_filter_for_many_channels(self):
        client = await self.connect()
        reply = await client.request("subscribe", {
            "events": ["workflow.failed"],
            "channels": ["fd:a", {"channel": "fd:b", "events": ["workflow.started"]}]})
        self.assertEqual([one["status"] for one in reply["data"]["results"]], ["subscribed"] * 2)
        self.publish_all("fd:a")
        self.publish_all("fd:b")
        self.assertEqual([(frame["room"], frame["event"]) for frame in await client.events(2)],
                         [("fd:a", "workflow.failed"), ("fd:b", "workflow.started")])
        self.assertEqual(await client.until_quiet(), [])

    async def test_bad_filters(self):
        client = await self.connect()
        for events in ("workflow.failed", {}, [1], [None], 3):
            with self.subTest(events=events):
                reply = await client.request("subscribe", {"channel": "f:a", "events": events})
                self.assertEqual(reply["error_code"], "INVALID_REQUEST")

    async def test_a_name_that_no_event_can_have_is_refused(self):
        client = await self.connect()
        for name in ("*", "", "workflow.*", "x" * 129):
            reply = await client.request("subscribe", {"channel": "fn:a", "events": [name]})
            self.assertEqual(reply["error_code"], "INVALID_REQUEST", name)
        await client.subscribe("fn:a", events=[])  # filters nothing
        self.publish_all("fn:a")
        await client.events(3)


if __name__ == "__main__":
    main()
