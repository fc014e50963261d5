"""A low hard limit of open files: told before it hurts, and answered when it does."""
import pathlib
import resource

from harness import Case, RawClient, eventually, main, small_config

LIMIT, RESERVE = 330, 256
ROOM = LIMIT - RESERVE


class FewDescriptors(Case):
    @classmethod
    def setUpClass(cls):
        # Control and its worker inherit it.  This process runs no other test.
        resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        super().setUpClass()

    @classmethod
    def config(cls):
        return small_config()

    def log(self):
        return (pathlib.Path(self.server.directory) / "log").read_text()

    async def test_the_limit_is_told_and_who_is_over_it_gets_an_answer(self):
        self.assertRegex(self.log(), rf"worker\.file_limit .*max_connections={ROOM}\b")
        # Heartbeats tell it; the first one may not have come yet.
        self.server.wait(lambda: self.server.workers()[0].file_limit == LIMIT, "a heartbeat")
        worker, = self.server.wsctl_json("workers", "list")
        self.assertEqual(worker["file_limit"], LIMIT)
        self.assertEqual(worker["max_connections"], ROOM)

        clients, answers = [], []
        for _ in range(ROOM + 20):
            client = RawClient(self.server.port(), handshake=False)
            clients.append(client)
            client.socket.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            answers.append(client.http_head().split(" ")[1])
        self.assertEqual(answers, ["101"] * ROOM + ["503"] * 20)
        with RawClient(self.server.port(), handshake=False) as client:
            self.assertEqual(client.http("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")[0], 200)
        await eventually(lambda: "connections.refused" in self.log(), "the refusals to be logged")
        self.assertEqual(self.log().count("connections.refused"), 1)
        with RawClient(int(worker["ops_address"].rpartition(":")[2]), handshake=False) as client:
            metrics = client.http("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[2]
        self.assertIn(f"fanwire_worker_file_limit {LIMIT}\n", metrics)
        self.assertIn(f"fanwire_worker_max_connections {ROOM}\n", metrics)

        for client in clients:
            client.socket.close()
        await eventually(self.has_room, "room again")

    def has_room(self):
        with RawClient(self.server.port(), handshake=False) as client:
            client.socket.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            return client.http_head().startswith("HTTP/1.1 101 ")


if __name__ == "__main__":
    main()
