"""The first frame of every service, with the shipped configuration."""
import datetime
import json
import re
import uuid

from harness import Case, main, shipped_config
from harness.client import ENVELOPE

WELCOMES = {
    "session-buddy": ("session-buddy", None),
    "mahavishnu": ("mahavishnu", "Connected to Mahavishnu orchestration"),
    "akosha": ("akosha", "Connected to Akosha pattern detection"),
    "crackerjack": ("crackerjack", "Connected to Crackerjack quality monitoring"),
    "dhruva": ("dhruva", "Connected to Dhara adapter distribution"),
    "excalidraw": ("excalidraw", "Connected to Excalidraw collaboration"),
    "fastblocks": ("fastblocks", "Connected to Fastblocks UI update stream"),
}
SMALLER = {"excalidraw", "fastblocks"}  # 60 messages a second instead of 100


class Welcome(Case):
    @classmethod
    def config(cls):
        return shipped_config()

    def listener(self, name):
        """Returns the service's listener for the common protocol."""
        for entry in self.server.config["services"]:
            if entry["name"] == name:
                for number, listener in enumerate(entry["listeners"]):
                    if listener.get("dialect", "common") == "common":
                        return number
        raise KeyError(name)

    async def test_every_service_says_what_its_clients_expect(self):
        for name, (server, message) in WELCOMES.items():
            with self.subTest(service=name):
                client = await self.connect(name, self.listener(name))
                welcome = client.welcome
                self.assertEqual(list(welcome)[:9], ENVELOPE)
                self.assertEqual(welcome["type"], "event")
                self.assertEqual(welcome["event"], "session.created")
                for key in ("correlation_id", "room", "error_code", "error_message"):
                    self.assertIsNone(welcome[key])
                data = welcome["data"]
                self.assertEqual(data["server"], server)
                if message is not None:
                    self.assertEqual(data["message"], message)
                self.assertEqual(welcome["message"], data["message"])
                self.assertEqual(uuid.UUID(data["connection_id"]).version, 4)
                self.assertIs(data["authenticated"], False)
                self.assertIs(data["secure"], False)
                self.assertEqual(data["tls_mode"], "WS")
                rate = 60 if name in SMALLER else 100
                self.assertEqual(data["rate_limit"], rate)
                self.assertEqual(data["limits"]["rate_limit"], rate)
                self.assertEqual(data["limits"]["burst"], rate * 1.5)
                self.assertEqual(data["limits"]["max_message_bytes"], 1048576)
                self.assertEqual(data["limits"]["max_channels"], 1000)
                self.assertIsNone(data["session_expires_at"])
                self.assertIs(data["recoverable"], True)
                self.assertIsInstance(welcome["version"], str)
                self.assertTrue(welcome["capabilities"])
                self.assertTrue(all(isinstance(item, str) for item in welcome["capabilities"]))

    async def test_text_is_compact_and_its_time_is_utc(self):
        client = await self.connect(welcome=False)
        text = await client.recv_text()
        parsed = json.loads(text)
        self.assertEqual(text, json.dumps(parsed, separators=(",", ":"), ensure_ascii=False))
        self.assertRegex(parsed["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")
        age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(
            parsed["timestamp"])
        self.assertLess(abs(age.total_seconds()), 60)

    async def test_connection_ids_differ(self):
        ids = {(await self.connect()).connection_id for _ in range(10)}
        self.assertEqual(len(ids), 10)

    async def test_any_path_and_any_query(self):
        for path in ("", "/", "/ws", "/a/b?c=d&e", "/%F0%9F%9A%80?x=y"):
            with self.subTest(path=path):
                await self.connect(path=path)

    async def test_offered_compression_is_declined(self):
        client = await self.connect(compression="deflate")
        self.assertEqual(client.socket.extensions, [])

    async def test_subprotocol_of_our_own_is_accepted_and_others_are_not(self):
        client = await self.connect(subprotocols=["fanwire.v1.json"])
        self.assertEqual(client.socket.subprotocol, "fanwire.v1.json")
        for other in ("mqtt", "FANWIRE.V1.JSON"):
            client = await self.connect(subprotocols=[other])
            self.assertIsNone(client.socket.subprotocol)

    async def test_pages_of_this_machine_alone_may_connect(self):
        for service in ("mahavishnu", "session-buddy"):
            for listener in range(2 if service == "session-buddy" else 1):
                for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
                    with self.subTest(service=service, listener=listener, origin=origin):
                        with self.assertRaises(Exception) as refused:
                            await self.connect(service, listener, origin=origin, welcome=False)
                        self.assertIn("403", str(refused.exception))
                await self.connect(service, listener, origin="http://localhost:3000",
                                   welcome=False)

    async def test_session_buddys_own_port_speaks_its_dialect(self):
        client = await self.connect("session-buddy", 1 - self.listener("session-buddy"),
                                    welcome=False)
        first = json.loads(await client.recv_text())
        self.assertEqual(first["type"], "connected")
        self.assertTrue(re.match(r"\d{4}-", first["timestamp"]))


if __name__ == "__main__":
    main()
