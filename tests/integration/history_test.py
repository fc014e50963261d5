"""The `history` request."""
from harness import Case, main, service, small_config


class History(Case):
    @classmethod
    def config(cls):
        return small_config(service(channels=[
            {"pattern": "short:*", "history_size": 5},
            {"pattern": "none:*", "history_size": 0}]),
            service("akosha", channels=[{"pattern": "**", "history_size": 0}]))

    async def test_the_welcome_says_whether_any_channel_keeps_history(self):
        for name, recoverable in (("mahavishnu", True), ("akosha", False)):
            client = await self.connect(name)
            self.assertIs(client.welcome["data"]["recoverable"], recoverable, name)

    async def history(self, client, **data):
        reply = await client.request("history", data)
        self.assertEqual(reply["type"], "response", reply)
        self.assertEqual(reply["event"], "history")
        return reply["data"]

    @staticmethod
    def numbers(answer):
        return [event["data"]["n"] for event in answer["events"]]

    async def test_all_of_a_channel(self):
        client = await self.connect()
        await client.subscribe("all:a")
        self.publisher.publish_many("all:a", 10)
        live = await client.events(10)
        answer = await self.history(client, channel="all:a", limit=100)
        self.assertEqual(answer["channel"], "all:a")
        self.assertEqual(answer["epoch"], live[0]["epoch"])
        self.assertEqual(answer["offset"], 10)
        # These are the same envelopes that subscribers got.
        self.assertEqual(answer["events"], live)

    async def test_needs_no_subscription(self):
        self.publisher.publish_many("quiet:a", 3)
        client = await self.connect()
        self.assertEqual(self.numbers(await self.history(client, channel="quiet:a")), [1, 2, 3])
        self.publish("quiet:a", level="written")
        self.assertEqual(await client.until_quiet(), [])

    async def test_limit_since_and_reverse(self):
        self.publisher.publish_many("page:a", 20)
        client = await self.connect()
        answer = await self.history(client, channel="page:a", limit=4)
        epoch = answer["epoch"]
        self.assertEqual(self.numbers(answer), [1, 2, 3, 4])
        answer = await self.history(client, channel="page:a", limit=4,
                                    since={"epoch": epoch, "offset": 4})
        self.assertEqual(self.numbers(answer), [5, 6, 7, 8])
        answer = await self.history(client, channel="page:a", limit=3, reverse=True)
        self.assertEqual(self.numbers(answer), [20, 19, 18])
        answer = await self.history(client, channel="page:a", since={"epoch": epoch, "offset": 20})
        self.assertEqual(self.numbers(answer), [])
        answer = await self.history(client, channel="page:a", since=None, limit=2)
        self.assertEqual(self.numbers(answer), [1, 2])

    async def test_what_is_kept_is_bounded(self):
        self.publisher.publish_many("short:a", 20)
        client = await self.connect()
        answer = await self.history(client, channel="short:a")
        self.assertEqual(self.numbers(answer), [16, 17, 18, 19, 20])
        self.assertEqual(answer["offset"], 20)
        self.publisher.publish_many("none:a", 3)
        answer = await self.history(client, channel="none:a")
        self.assertEqual((answer["events"], answer["offset"]), ([], 3))

    async def test_an_unknown_channel_is_empty(self):
        client = await self.connect()
        answer = await self.history(client, channel="never:seen")
        self.assertEqual((answer["events"], answer["offset"]), ([], 0))

    async def test_limit_beyond_1000_and_bad_arguments(self):
        client = await self.connect()
        for data in ({"channel": "a", "limit": 0}, {"channel": "a", "limit": -1},
                     {"channel": "a", "limit": 1001}, {"channel": "a", "limit": 1.5},
                     {"channel": "a", "since": "x"}, {"channel": "a", "reverse": "yes"}):
            with self.subTest(data=data):
                reply = await client.request("history", data)
                self.assertEqual(reply["error_code"], "INVALID_REQUEST")
        for channel in ("workflow:*", "", 5, "x" * 300):
            with self.subTest(channel=channel):
                reply = await client.request("history", {"channel": channel})
                self.assertEqual(reply["error_code"], "INVALID_CHANNEL")

    async def test_an_answer_is_cut_at_the_message_limit(self):
        for number in range(1, 41):
            self.publish("large:a", data={"n": number, "fill": "x" * 60000})
        client = await self.connect()
        answer = await self.history(client, channel="large:a")
        numbers = self.numbers(answer)
        self.assertIs(answer["more"], True)
        self.assertLess(len(numbers), 40)
        self.assertGreater(len(numbers), 10)
        seen = numbers
        while answer.get("more"):
            last = answer["events"][-1]
            answer = await self.history(client, channel="large:a", since={
                "epoch": last["epoch"], "offset": last["offset"]})
            seen = seen + self.numbers(answer)
        self.assertEqual(seen, list(range(1, 41)))

    async def test_a_burst_of_requests_is_answered_in_full(self):
        self.publisher.publish_many("burst:a", 2)
        client = await self.connect()
        for number in range(40):
            await client.send({"type": "request", "id": f"h{number}", "event": "history",
                               "data": {"channel": "burst:a"}})
        replies = [await client.recv() for _ in range(40)]
        self.assertEqual({reply["correlation_id"] for reply in replies},
                         {f"h{number}" for number in range(40)})
        for reply in replies:
            self.assertEqual(self.numbers(reply["data"]), [1, 2])

    async def test_a_position_that_is_not_held_is_told(self):
        self.publisher.publish_many("short:since", 20)
        client = await self.connect()
        epoch = (await self.history(client, channel="short:since"))["epoch"]
        for since, reason in [({"epoch": epoch, "offset": 3}, "history_expired"),
                              ({"epoch": epoch, "offset": 99}, "offset_unknown"),
                              ({"epoch": "0123456789abcdef", "offset": 19}, "epoch_changed"),
                              ({"epoch": epoch, "offset": 15}, None)]:
            answer = await self.history(client, channel="short:since", since=since)
            self.assertEqual(self.numbers(answer), [16, 17, 18, 19, 20])
            self.assertEqual(answer.get("complete"), None if reason is None else False)
            self.assertEqual(answer.get("reason"), reason)


if __name__ == "__main__":
    main()
