"""A subscribe that asks for the state gets it as it is at an offset, and exactly the later events."""
import asyncio

from harness import Case, main, service, small_config

STATUS = [{"request": "get_job", "argument": "job_id", "kind": "job", "initial": {"last": 0},
           "events": [{"event": "job.moved", "key": "$job_id",
                       "set": {"last": "$n", "note": "$note", "copy": "$note"}}]}]
EVENTS = 300
CLIENTS = 20


class State(Case):
    @classmethod
    def config(cls):
        return small_config(service(status_requests=STATUS), workers=2)

    def move(self, job, n, **data):
        return self.publish(f"job:{job}", "job.moved", {"job_id": job, "n": n, **data})

    async def with_state(self, client, channel, **data):
        frame = await client.request("subscribe", {"channel": channel, "state": True, **data})
        self.assertEqual(frame["type"], "response", frame)
        return frame["data"]

    async def test_each_subscriber_sees_every_event_in_the_state_or_after_it(self):
        async def follow():
            client = await self.connect()
            confirmed = await self.with_state(client, "job:busy")
            first = confirmed["state_offset"]
            # Before the first event nothing is known of the job.
            self.assertEqual((confirmed["offset"], confirmed["state"].get("last", 0)),
                             (first, first))
            rest = range(first + 1, EVENTS + 1)
            self.assertEqual(await client.numbers(len(rest)), list(rest))
            self.assertEqual(await client.until_quiet(), [])
            return first

        async def publish():
            for n in range(1, EVENTS + 1):
                await asyncio.to_thread(self.move, "busy", n)

        async def arrive(number):
            await asyncio.sleep(number * 0.01)
            return await follow()
        *firsts, _ = await asyncio.gather(*map(arrive, range(CLIENTS)), publish())
        self.assertGreater(len(set(firsts)), 1, "all subscribed before or after the events")

    async def test_of_an_unknown_entity_the_state_is_what_the_status_request_says(self):
        client = await self.connect()
        confirmed = await self.with_state(client, "job:nobody")
        self.assertEqual(confirmed["state"],
                         (await client.request("get_job", {"job_id": "nobody"}))["data"])
        self.assertEqual(confirmed["state_offset"], 0)

    async def test_digits_are_kept(self):
        self.move("digits", 2**70, note=1e300)
        client = await self.connect()
        confirmed = await self.with_state(client, "job:digits")
        self.assertEqual((confirmed["state"]["last"], confirmed["state"]["note"]), (2**70, 1e300))

    async def test_the_state_comes_only_if_a_recovery_fails(self):
        self.move("back", 1)
        client = await self.connect()
        position = await self.with_state(client, "job:back")
        self.move("back", 2)
        again = await self.connect()
        recovered = await self.with_state(again, "job:back", recover={
            "epoch": position["epoch"], "offset": position["offset"]})
        self.assertTrue(recovered["recovered"])
        self.assertNotIn("state", recovered)
        self.assertEqual(await again.numbers(1), [2])
        lost = await self.with_state(await self.connect(), "job:back", recover={
            "epoch": "0123456789abcdef", "offset": 1})
        self.assertEqual((lost["recovered"], lost["reason"]), (False, "epoch_changed"))
        self.assertEqual((lost["state"]["last"], lost["state_offset"]), (2, 2))

    async def test_a_state_that_is_too_large_is_told_as_such(self):
        self.move("large", 1, note="\x01" * 160_000)  # each is written as \u0001, in two fields
        client = await self.connect()
        confirmed = await self.with_state(client, "job:large")
        self.assertEqual((confirmed["state"], confirmed["state_reason"]), (None, "too_large"))
        self.move("large", 2)
        self.assertEqual(await client.numbers(1), [2])

    async def test_what_has_no_state(self):
        client = await self.connect()
        for data, code in [({"channel": "pool:1"}, "INVALID_REQUEST"),
                           ({"channel": "job:*"}, "INVALID_REQUEST"),
                           ({"channel": "job:1", "state": "yes"}, "INVALID_REQUEST")]:
            with self.subTest(data=data):
                frame = await client.request("subscribe", {"state": True, **data})
                self.assertEqual((frame["type"], frame["error_code"]), ("error", code))
        frame = await client.request("subscribe", {"channels": ["job:1"], "state": True})
        self.assertEqual(frame["data"]["results"][0]["error_code"], "INVALID_REQUEST")
        self.assertEqual((await client.subscribe("job:1"))["status"], "subscribed")


if __name__ == "__main__":
    main()
