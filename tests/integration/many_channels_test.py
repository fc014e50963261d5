"""`subscribe` and `unsubscribe` with `data.channels`: several channels, one answer."""
from harness import Case, main, service, small_config


class ManyChannels(Case):
    @classmethod
    def config(cls):
        return small_config(service(max_channels_per_session=50))

    async def test_each_gets_a_result_in_order(self):
        first = self.publish("many:recovered", data={"n": 1})
        self.publish("many:recovered", data={"n": 2})
        client = await self.connect()
        reply = await client.request("subscribe", {"channels": [
            "many:a", {"channel": "many:recovered", "recover": {
                "epoch": first.position.epoch, "offset": 1}}, "many:*", "", "x" * 300, 7,
            {"channel": "many:b", "events": ["only.this"]}]})
        self.assertEqual(reply["type"], "response")
        results = reply["data"]["results"]
        self.assertEqual(len(results), 7)
        self.assertEqual((results[0]["channel"], results[0]["status"], results[0]["offset"]),
                         ("many:a", "subscribed", 0))
        self.assertEqual((results[1]["recovered"], results[1]["recovered_count"]), (True, 1))
        self.assertEqual(results[2]["status"], "subscribed")
        for number in (3, 4, 5):
            self.assertEqual(results[number]["error_code"], "INVALID_CHANNEL")
            self.assertTrue(results[number]["error_message"])
        self.assertEqual(results[6]["channel"], "many:b")
        self.assertEqual((await client.event())["data"], {"n": 2})
        self.publish("many:a", data={"n": "live"})
        self.assertEqual((await client.event())["room"], "many:a")

    async def test_over_the_limit(self):
        client = await self.connect()
        reply = await client.request("subscribe", {"channels": [f"l:{n}" for n in range(55)]})
        results = reply["data"]["results"]
        self.assertEqual([result.get("status") for result in results[:50]], ["subscribed"] * 50)
        self.assertEqual([result["error_code"] for result in results[50:]],
                         ["LIMIT_EXCEEDED"] * 5)

    async def test_unsubscribe(self):
        client = await self.connect()
        await client.request("subscribe", {"channels": ["u:a", "u:b", "u:c"]})
        reply = await client.request("unsubscribe", {"channels": ["u:a", "u:c", "u:never"]})
        self.assertEqual([(result["channel"], result["status"])
                          for result in reply["data"]["results"]],
                         [("u:a", "unsubscribed"), ("u:c", "unsubscribed"),
                          ("u:never", "unsubscribed")])
        for channel in ("u:a", "u:c", "u:b"):
            self.publish(channel, level="written")
        self.assertEqual((await client.event())["room"], "u:b")
        self.assertEqual(await client.until_quiet(), [])

    async def test_none_and_wrong_types(self):
        client = await self.connect()
        reply = await client.request("subscribe", {"channels": []})
        self.assertEqual(reply["type"], "response")
        self.assertEqual(reply["data"]["results"], [])
        for channels in ("a", {"a": 1}, 3):
            reply = await client.request("subscribe", {"channels": channels})
            self.assertEqual(reply["type"], "error")
            self.assertIn(reply["error_code"], ("INVALID_CHANNEL", "INVALID_REQUEST"))


if __name__ == "__main__":
    main()
