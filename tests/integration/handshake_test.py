"""What the edge of a worker takes and refuses, and what operators see of it."""
import json
import os
import pathlib
import signal

from fanwire.v1 import admin_pb2

from harness import Case, RawClient, main, service, small_config

UPGRADE = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n")


class Handshake(Case):
    @classmethod
    def config(cls):
        return small_config(service(), workers=2)

    def client(self, more=b"", before=b""):
        """Returns a client that has been told 101."""
        client = RawClient(self.server.port(), handshake=False)
        self.addCleanup(client.socket.close)
        client.socket.sendall(before + UPGRADE + more + b"\r\n")
        head = client.http_head()
        self.assertTrue(head.startswith("HTTP/1.1 101 "), head)
        return client

    def refused(self, more):
        with RawClient(self.server.port(), handshake=False) as client:
            return client.http(UPGRADE + more + b"\r\n")

    def metrics(self):
        text = ""
        for worker in self.server.workers():
            with RawClient(int(worker.ops_address.rpartition(":")[2]), handshake=False) as client:
                text += client.http("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[2]
        return text

    async def test_a_header_that_is_no_utf8_harms_nobody(self):
        attached = {worker.id: worker.attached_at.ToNanoseconds()
                    for worker in self.server.workers()}
        agents = [b"caf\xe9", b"x" * 199 + "é".encode(), b"\xff" * 300, b"curl/8.1"]
        for agent in agents * 3:
            self.client(b"User-Agent: " + agent + b"\r\n").recv_json()
        for _ in range(3):
            listed = self.server.wsctl("connections", "list", "--output", "json")
            self.assertEqual(listed.stderr, "")
            told = {connection["user_agent"] for connection in json.loads(listed.stdout)}
            self.assertEqual(len(json.loads(listed.stdout)), 12)
            self.assertEqual(told, {"caf\ufffd", "x" * 199, "\ufffd" * 66, "curl/8.1"})
            health = self.server.wsctl_json("health-check", "--service", "mahavishnu")
            self.assertEqual(health["connections"], 12)
            self.assertNotIn("warning", health)
        self.assertEqual(attached, {worker.id: worker.attached_at.ToNanoseconds()
                                    for worker in self.server.workers()})

    async def test_sums_without_a_worker_that_is_away_say_so(self):
        frozen = self.server.workers()[0]
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            # Control takes a silent worker for dead some seconds before it replaces it.
            self.server.wait(lambda: any(worker.id == frozen.id and
                                         worker.state == admin_pb2.WORKER_STATE_DEAD
                                         for worker in self.server.workers()), "a dead worker")
            health = self.server.wsctl("health-check", "--service", "mahavishnu",
                                       "--output", "json", check=False)
            listed = self.server.wsctl("connections", "list")
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        told = json.loads(health.stdout)
        self.assertEqual((told["workers_answered"], told["workers_total"]), (1, 2))
        for result in (health, listed):
            self.assertIn("only 1 of 2 workers answered", result.stderr)
        self.server.wait_ready()
        health = self.server.wsctl("health-check", "--service", "mahavishnu", "--output", "json")
        self.assertEqual(health.stderr, "")

    async def test_pages_of_other_machines_are_refused_and_counted(self):
        for origin in (b"https://evil.example", b"null", b"http://localhost.evil.example"):
            status, _, body = self.refused(b"Origin: " + origin + b"\r\n")
            self.assertEqual(status, 403)
            self.assertIn("services[].listeners[].allowed_origins", body)
            self.assertIn("auth.allowed_origins", body)
        for origin in (b"http://localhost:3000", b"http://127.0.0.1:8080", b"http://[::1]"):
            self.client(b"Origin: " + origin + b"\r\n")
        counted = r'_connection_errors_total\{[^}]*"origin_refused"[^}]*\} [1-3]\b'
        self.assertRegex(self.metrics(), counted)
        log = (pathlib.Path(self.server.directory) / "log").read_text()
        self.assertIn("origin.refused", log)
        self.assertLessEqual(log.count("origin.refused"), 2)  # one a minute and worker

    async def test_long_cookies_are_taken_and_longer_ones_are_told_the_limit(self):
        self.client(b"Cookie: " + b"x" * 20000 + b"\r\n")
        self.client(b"".join(b"X-%d: y\r\n" % i for i in range(120)))
        status, _, body = self.refused(b"Cookie: " + b"x" * 33000 + b"\r\n")
        self.assertEqual(status, 431)
        self.assertIn("limits.max_head_bytes", body)
        status, _, body = self.refused(b"".join(b"X-%d: y\r\n" % i for i in range(124)))
        self.assertEqual(status, 431)
        self.assertIn("limits.max_head_lines", body)

    async def test_empty_lines_before_the_request_are_ignored(self):
        self.client(before=b"\r\n")
        self.client(before=b"\r\n\r\n\r\n").recv_json()


if __name__ == "__main__":
    main()
