"""Every way to subscribe and unsubscribe, and the confirmations."""
import json

from harness import Case, main, service, small_config, uuid4
from harness.client import ENVELOPE


class SubscribeForms(Case):
    @classmethod
    def config(cls):
        return small_config(service(), service("fastblocks", subscribe_by_component_id=True))

    async def assert_subscribed(self, client, message, channel, name="mahavishnu"):
        """Checks that the message subscribes: its confirmation is complete, and events arrive."""
        reply = await client.reply(message)
        self.assertEqual(list(reply)[:9], ENVELOPE)
        self.assertEqual(reply["type"], "response")
        self.assertEqual(reply["event"], "subscribe")
        self.assertIsNone(reply["room"])
        self.assertIsNone(reply["error_code"])
        self.assertIsNone(reply["error_message"])
        self.assertEqual(reply["data"]["status"], "subscribed")
        self.assertEqual(reply["data"]["channel"], channel)
        self.assertEqual(reply["status"], "subscribed")
        self.assertEqual(reply["channel"], channel)
        self.publish(channel, data={"seen": True}, service=name)
        event = await client.event("test.event")
        self.assertEqual(event["room"], channel)
        self.assertEqual(event["data"], {"seen": True})
        self.assertEqual(event["offset"], reply["data"]["offset"] + 1)
        self.assertEqual(event["epoch"], reply["data"]["epoch"])

    async def test_request_with_channel(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "type": "request", "id": "1", "event": "subscribe",
            "data": {"channel": "workflow:a"}}, "workflow:a")

    async def test_request_with_room(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "type": "request", "event": "subscribe", "data": {"room": "workflow:b"}}, "workflow:b")

    async def test_event_with_room_as_the_common_client_sends_it(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "id": uuid4(), "correlation_id": None, "type": "event", "event": "subscribe",
            "data": {"room": "workflow:c"}, "timestamp": "2026-02-10T12:00:00.123456",
            "room": None, "error_code": None, "error_message": None}, "workflow:c")

    async def test_event_with_channel(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "type": "event", "event": "subscribe", "data": {"channel": "workflow:d"}}, "workflow:d")

    async def test_type_subscribe(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "type": "subscribe", "data": {"channel": "workflow:e"}}, "workflow:e")

    async def test_type_subscribe_with_the_event_named_as_well(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "type": "subscribe", "event": "subscribe", "data": {"room": "workflow:f"}},
            "workflow:f")

    async def test_channel_goes_before_room(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "type": "request", "event": "subscribe",
            "data": {"channel": "workflow:g", "room": "workflow:other"}}, "workflow:g")

    async def test_binary_frame_with_the_same_text(self):
        client = await self.connect()
        await self.assert_subscribed(client, json.dumps({
            "type": "request", "event": "subscribe",
            "data": {"channel": "workflow:h"}}).encode(), "workflow:h")

    async def test_unknown_keys_are_ignored(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "type": "request", "event": "subscribe", "jsonrpc": "2.0", "extra": {"a": [1]},
            "data": {"channel": "workflow:i", "more": None}}, "workflow:i")

    async def test_name_beyond_ascii(self):
        client = await self.connect()
        await self.assert_subscribed(client, {
            "type": "request", "event": "subscribe", "data": {"channel": "workflow:größe✓"}},
            "workflow:größe✓")

    async def test_component_id_of_a_fastblocks_client(self):
        client = await self.connect("fastblocks")
        await self.assert_subscribed(client, {
            "type": "subscribe", "data": {"component_id": "card_7"}}, "component:card_7",
            "fastblocks")

    async def test_component_id_means_nothing_elsewhere(self):
        client = await self.connect()
        reply = await client.reply({"type": "subscribe", "data": {"component_id": "card_7"}})
        self.assertEqual(reply["error_code"], "INVALID_CHANNEL")

    async def test_twice_is_confirmed_twice_and_delivers_once(self):
        client = await self.connect()
        await client.subscribe("workflow:twice")
        await client.subscribe("workflow:twice")
        self.publish("workflow:twice", level="routed")
        await client.event("test.event")
        self.assertEqual(await client.until_quiet(), [])

    async def test_every_unsubscribe_form(self):
        for number, message in enumerate([
                {"type": "request", "event": "unsubscribe", "data": {"channel": "?"}},
                {"type": "request", "event": "unsubscribe", "data": {"room": "?"}},
                {"type": "event", "event": "unsubscribe", "data": {"room": "?"}},
                {"type": "unsubscribe", "data": {"channel": "?"}}]):
            with self.subTest(message=message):
                channel = f"workflow:u{number}"
                client = await self.connect()
                await client.subscribe(channel)
                message["data"] = {key: channel for key in message["data"]}
                reply = await client.reply(message)
                self.assertEqual(reply["type"], "response")
                self.assertEqual(reply["event"], "unsubscribe")
                self.assertEqual(reply["data"]["status"], "unsubscribed")
                self.assertEqual(reply["data"]["channel"], channel)
                self.assertEqual(reply["status"], "unsubscribed")
                self.assertEqual(reply["channel"], channel)
                receipt = self.publish(channel, level="written")
                self.assertEqual(receipt.delivery.matched, 0)
                self.assertEqual(await client.until_quiet(), [])

    async def test_unsubscribe_from_a_channel_never_joined_is_confirmed(self):
        client = await self.connect()
        await client.unsubscribe("workflow:never")

    async def test_confirmations_come_in_the_order_of_the_requests(self):
        client = await self.connect()
        for number in range(50):
            await client.send({"type": "request", "id": f"s{number}", "event": "subscribe",
                               "data": {"channel": f"workflow:o{number}"}})
        await client.send({"type": "ping", "id": "p"})
        seen = [(await client.recv())["correlation_id"] for _ in range(51)]
        # The ping does not need control, so its answer may come early; confirmations are in order.
        self.assertEqual([name for name in seen if name != "p"], [f"s{n}" for n in range(50)])

    async def test_the_confirmation_comes_before_the_channels_first_event(self):
        client = await self.connect()
        for number in range(20):
            channel = f"workflow:race{number}"
            await client.send({"type": "request", "id": "s", "event": "subscribe",
                               "data": {"channel": channel}})
            self.publish(channel)
            confirmation = await client.recv()
            self.assertEqual(confirmation["type"], "response")
            self.assertIn(confirmation["data"]["offset"], (0, 1))
            if confirmation["data"]["offset"] == 0:
                self.assertEqual((await client.event())["offset"], 1)

    async def test_a_subscription_ends_with_its_connection(self):
        client = await self.connect()
        await client.subscribe("workflow:gone")
        await client.close()

        def unmatched():
            return self.publish("workflow:gone", level="written").delivery.matched == 0
        self.server.wait(unmatched, "the session to be gone")


if __name__ == "__main__":
    main()
