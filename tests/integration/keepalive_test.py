"""JSON pings, WebSocket pings, and the server's keepalive."""
import asyncio
import time

from harness import Case, RawClient, main, service, small_config
from harness.raw import PING, PONG


class Keepalive(Case):
    @classmethod
    def config(cls):
        return small_config(service(), limits={"ping_interval": "300ms", "pong_timeout": "1500ms"})

    async def test_json_ping_in_both_forms(self):
        client = await self.connect()
        for message in ({"type": "ping", "id": "1"},
                        {"type": "request", "event": "ping", "id": "1"}):
            reply = await client.reply(message)
            self.assertEqual(reply["type"], "pong")
            self.assertEqual(reply["correlation_id"], "1")

    async def test_the_first_frame_of_a_health_check_comes_at_once(self):
        # check_websocket_health pings without waiting for the welcome and takes any first frame.
        client = await self.connect(welcome=False)
        await client.send({"type": "ping", "id": "health_check_1"})
        self.assertIn((await client.recv())["type"], ("pong", "event", "response"))

    async def test_websocket_ping_is_answered_with_its_payload(self):
        with RawClient(self.server.port()) as client:
            client.recv_json()
            for payload in (b"", b"abc", b"x" * 125):
                client.send_frame(PING, payload)
                while True:
                    opcode, answer = client.recv_frame()
                    if opcode == PONG:
                        break
                self.assertEqual(answer, payload)

    async def test_a_client_that_answers_stays(self):
        client = await self.connect(ping_interval=None)
        await asyncio.sleep(2.5)  # several intervals and a timeout
        self.assertEqual((await client.reply({"type": "ping", "id": "1"}))["type"], "pong")

    async def test_a_client_that_does_not_answer_is_closed_with_1011(self):
        with RawClient(self.server.port()) as client:
            client.recv_json()
            started = time.monotonic()
            self.assertEqual(client.recv_close(), (1011, "keepalive ping timeout"))
            self.assertGreater(time.monotonic() - started, 1.4)

    async def test_any_frame_counts_as_life(self):
        with RawClient(self.server.port()) as client:
            client.recv_json()
            deadline = time.monotonic() + 2.5
            while time.monotonic() < deadline:
                client.send_frame(PONG)  # an unsolicited pong, which RFC 6455 allows
                await asyncio.sleep(0.05)
            client.send_json({"type": "ping", "id": "1"})
            while client.recv_json()["type"] != "pong":
                pass


if __name__ == "__main__":
    main()
