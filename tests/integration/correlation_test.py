"""Which correlation_id a reply has (docs/protocol.md, Envelope)."""
from harness import Case, main, service, small_config, uuid4


class Correlation(Case):
    @classmethod
    def config(cls):
        return small_config(service(), service("akosha", correlation="id"),
                            service("crackerjack", correlation="echo"))

    async def correlate(self, name, identifier, correlation, event="subscribe"):
        """Returns the reply to a request with these ids; None leaves an id out."""
        client = await self.connect(name)
        message = {"type": "request", "event": event, "data": {"channel": "a"}}
        if identifier is not None:
            message["id"] = identifier
        if correlation is not None:
            message["correlation_id"] = correlation
        return await client.reply(message)

    async def test_only_the_id_as_the_examples_send(self):
        reply = await self.correlate("mahavishnu", "sub_a", None)
        self.assertEqual(reply["correlation_id"], "sub_a")
        self.assertEqual(reply["request_id"], "sub_a")
        self.assertIsNone(reply["request_correlation_id"])

    async def test_only_the_correlation_id_as_the_fastblocks_examples_send(self):
        reply = await self.correlate("mahavishnu", None, "req_001")
        self.assertEqual(reply["correlation_id"], "req_001")
        self.assertEqual(reply["request_correlation_id"], "req_001")

    async def test_both_as_texts_mean_the_correlation_id(self):
        reply = await self.correlate("mahavishnu", "m1", "c1")
        self.assertEqual(reply["correlation_id"], "c1")
        self.assertEqual(reply["request_id"], "m1")
        self.assertEqual(reply["request_correlation_id"], "c1")

    async def test_both_as_uuid4_mean_the_id(self):
        identifier, correlation = uuid4(), uuid4()
        reply = await self.correlate("mahavishnu", identifier, correlation)
        self.assertEqual(reply["correlation_id"], identifier)
        self.assertEqual(reply["request_id"], identifier)
        self.assertEqual(reply["request_correlation_id"], correlation)

    async def test_one_uuid4_is_not_both(self):
        correlation = uuid4()
        reply = await self.correlate("mahavishnu", "m1", correlation)
        self.assertEqual(reply["correlation_id"], correlation)
        reply = await self.correlate("mahavishnu", correlation, "c1")
        self.assertEqual(reply["correlation_id"], "c1")

    async def test_uuids_of_another_version_are_texts(self):
        one, other = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b811-9dad-11d1-80b4-00c04fd430c8"
        reply = await self.correlate("mahavishnu", one, other)
        self.assertEqual(reply["correlation_id"], other)

    async def test_errors_correlate_the_same_way(self):
        identifier, correlation = uuid4(), uuid4()
        reply = await self.correlate("mahavishnu", identifier, correlation, event="no_such")
        self.assertEqual(reply["error_code"], "UNKNOWN_REQUEST")
        self.assertEqual(reply["correlation_id"], identifier)
        self.assertEqual(reply["request_id"], identifier)
        self.assertEqual(reply["request_correlation_id"], correlation)

    async def test_mode_id(self):
        reply = await self.correlate("akosha", "m1", "c1")
        self.assertEqual(reply["correlation_id"], "m1")

    async def test_mode_echo(self):
        self.assertEqual((await self.correlate("crackerjack", uuid4(), "c1"))["correlation_id"],
                         "c1")
        self.assertIsNone((await self.correlate("crackerjack", "m1", None))["correlation_id"])

    async def test_ping_correlates(self):
        client = await self.connect()
        reply = await client.reply({"type": "ping", "id": "health_check_1770000000.1"})
        self.assertEqual(reply["type"], "pong")
        self.assertEqual(reply["correlation_id"], "health_check_1770000000.1")

    async def test_texts_with_quotes_come_back_as_they_are(self):
        text = 'a "quoted" \\ text\nwith ünïcode ✓'
        reply = await self.correlate("mahavishnu", text, None)
        self.assertEqual(reply["correlation_id"], text)


if __name__ == "__main__":
    main()
