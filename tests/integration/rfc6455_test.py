"""Edge cases of RFC 6455 on a service's port; another client, the bystander, is not affected."""
import os

from harness import Case, RawClient, close_payload, main
from harness.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

PING_TEXT = b'{"type":"ping","id":"p"}'


class Rfc6455(Case):
    async def asyncSetUp(self):
        self.bystander = await self.connect()
        await self.bystander.subscribe("by:stander")

    async def asyncTearDown(self):
        """After each test the bystander gets its event and nothing else."""
        self.publish("by:stander", data={"test": self.id()}, level="written")
        self.assertEqual((await self.bystander.event())["data"], {"test": self.id()})
        self.assertEqual(await self.bystander.until_quiet(), [])

    def dial(self):
        client = RawClient(self.server.port())
        self.addCleanup(client.socket.close)
        client.recv_json()
        return client

    def assert_pong_message(self, client):
        self.assertEqual(client.recv_json()["type"], "pong")

    def assert_closed_with(self, code, client):
        answer = client.recv_close()
        self.assertIsNotNone(answer, "closed without a close frame")
        self.assertEqual(answer[0], code)
        self.assertTrue(client.at_end())

    # -- fragmentation (section 5.4)

    async def test_a_message_in_three_fragments(self):
        client = self.dial()
        client.send_frame(TEXT, PING_TEXT[:5], fin=False)
        client.send_frame(CONTINUATION, PING_TEXT[5:9], fin=False)
        client.send_frame(CONTINUATION, PING_TEXT[9:])
        self.assert_pong_message(client)

    async def test_a_fragment_for_each_byte(self):
        client = self.dial()
        for number, byte in enumerate(PING_TEXT):
            client.send_frame(CONTINUATION if number else TEXT, bytes([byte]),
                              fin=number == len(PING_TEXT) - 1)
        self.assert_pong_message(client)

    async def test_empty_fragments(self):
        client = self.dial()
        client.send_frame(TEXT, b"", fin=False)
        client.send_frame(CONTINUATION, PING_TEXT, fin=False)
        client.send_frame(CONTINUATION, b"")
        self.assert_pong_message(client)

    async def test_control_frames_between_fragments(self):
        client = self.dial()
        client.send_frame(TEXT, PING_TEXT[:5], fin=False)
        client.send_frame(PING, b"between")
        self.assertEqual(client.recv_frame(), (PONG, b"between"))
        client.send_frame(PONG, b"unasked")
        client.send_frame(CONTINUATION, PING_TEXT[5:])
        self.assert_pong_message(client)

    async def test_a_close_between_fragments_is_answered(self):
        client = self.dial()
        client.send_frame(TEXT, PING_TEXT[:5], fin=False)
        client.send_frame(CLOSE, close_payload(1000))
        self.assert_closed_with(1000, client)

    async def test_a_frame_in_single_bytes_of_tcp(self):
        client = self.dial()
        for byte in frame(TEXT, PING_TEXT):
            client.socket.sendall(bytes([byte]))
        self.assert_pong_message(client)

    async def test_many_frames_in_one_segment(self):
        client = self.dial()
        client.socket.sendall(b"".join(frame(TEXT, PING_TEXT) for _ in range(50)))
        for _ in range(50):
            self.assert_pong_message(client)

    async def test_a_continuation_without_a_beginning(self):
        client = self.dial()
        client.send_frame(CONTINUATION, PING_TEXT)
        self.assert_closed_with(1002, client)

    async def test_a_new_message_inside_a_fragmented_one(self):
        client = self.dial()
        client.send_frame(TEXT, PING_TEXT[:5], fin=False)
        client.send_frame(TEXT, PING_TEXT)
        self.assert_closed_with(1002, client)

    async def test_binary_with_the_same_json(self):
        client = self.dial()
        client.send_frame(BINARY, PING_TEXT)
        self.assert_pong_message(client)

    # -- control frames (section 5.5)

    async def test_a_ping_longer_than_125_bytes(self):
        client = self.dial()
        client.send_frame(PING, b"x" * 126)
        self.assert_closed_with(1002, client)

    async def test_a_fragmented_ping(self):
        client = self.dial()
        client.send_frame(PING, b"x", fin=False)
        self.assert_closed_with(1002, client)

    async def test_a_fragmented_close(self):
        client = self.dial()
        client.send_frame(CLOSE, close_payload(1000), fin=False)
        self.assert_closed_with(1002, client)

    async def test_a_close_with_one_byte(self):
        client = self.dial()
        client.send_frame(CLOSE, b"\x03")
        self.assert_closed_with(1002, client)

    async def test_a_close_reason_that_is_not_utf8(self):
        client = self.dial()
        client.send_frame(CLOSE, close_payload(1000, b"\xff\xfe"))
        answer = client.recv_close()
        self.assertIn(answer[0], (1002, 1007))

    async def test_frames_after_a_close_are_ignored(self):
        client = self.dial()
        client.send_frame(CLOSE, close_payload(1000))
        try:
            client.send_frame(TEXT, PING_TEXT)
        except OSError:
            pass  # the server has closed already
        self.assertEqual(client.recv_close(), (1000, ""))

    # -- reserved bits and opcodes (section 5.2)

    async def test_reserved_bits(self):
        for rsv in (1, 2, 4, 7):
            with self.subTest(rsv=rsv):
                client = self.dial()
                client.send_frame(TEXT, PING_TEXT, rsv=rsv)
                self.assert_closed_with(1002, client)

    async def test_reserved_opcodes(self):
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            with self.subTest(opcode=opcode):
                client = self.dial()
                client.send_frame(opcode, b"")
                self.assert_closed_with(1002, client)

    # -- masking (section 5.1) and lengths

    async def test_a_frame_without_a_mask(self):
        client = self.dial()
        client.send_frame(TEXT, PING_TEXT, masked=False)
        self.assert_closed_with(1002, client)

    async def test_a_length_in_a_longer_form_than_needed(self):
        for form in (16, 64):
            with self.subTest(form=form):
                client = self.dial()
                client.send_frame(TEXT, PING_TEXT, length_form=form)
                self.assert_closed_with(1002, client)

    async def test_a_length_with_its_highest_bit(self):
        client = self.dial()
        client.send_frame(TEXT, PING_TEXT, length=1 << 63, length_form=64)
        answer = client.recv_close()
        self.assertIn(answer[0], (1002, 1009))

    async def test_a_length_over_the_limit_is_refused_before_its_bytes_come(self):
        client = self.dial()
        client.send_frame(TEXT, b"begin", length=1 << 40)
        self.assert_closed_with(1009, client)

    async def test_fragments_over_the_limit(self):
        client = self.dial()
        chunk = b"x" * 300000
        try:
            client.send_frame(TEXT, chunk, fin=False)
            for _ in range(3):
                client.send_frame(CONTINUATION, chunk, fin=False)
        except OSError:
            pass  # the server has closed in the meantime
        self.assertEqual(client.recv_close()[0], 1009)

    # -- UTF-8 (section 8.1)

    async def test_a_character_split_over_fragments(self):
        client = self.dial()
        text = '{"type":"ping","id":"✓🚀"}'.encode()
        for cut in range(1, len(text)):
            client.send_frame(TEXT, text[:cut], fin=False)
            client.send_frame(CONTINUATION, text[cut:])
            self.assertEqual(client.recv_json()["correlation_id"], "✓🚀")

    async def test_text_that_is_not_utf8(self):
        for bad in (b"\xff", b"\xc3\x28", b"\xe2\x28\xa1", b"\xc0\xaf", b"\xed\xa0\x80",
                    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80"):
            with self.subTest(bad=bad):
                client = self.dial()
                client.send_frame(TEXT, b'{"type":"ping","id":"' + bad + b'"}')
                self.assert_closed_with(1007, client)

    async def test_text_that_ends_within_a_character(self):
        client = self.dial()
        client.send_frame(TEXT, b"abc\xe2\x82")
        self.assert_closed_with(1007, client)

    async def test_not_utf8_over_fragments(self):
        client = self.dial()
        client.send_frame(TEXT, b"\xce\xba", fin=False)
        client.send_frame(CONTINUATION, b"\xed\xa0\x80", fin=False)
        client.send_frame(CONTINUATION, b"edited")
        self.assertEqual(client.recv_close()[0], 1007)

    # -- the handshake (section 4.2.1)

    def refused(self, request):
        client = RawClient(self.server.port(), handshake=False)
        self.addCleanup(client.socket.close)
        client.socket.sendall(request)
        try:
            return int(client.http_head().split(" ")[1])
        except ConnectionError:
            return None

    def handshake(self, **changes):
        headers = {"Host": "x", "Upgrade": "websocket", "Connection": "Upgrade",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
        headers.update(changes)
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()
                 if value is not None]
        return ("GET / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()

    async def test_good_handshakes(self):
        for changes in ({}, {"Connection": "keep-alive, Upgrade"}, {"Upgrade": "WebSocket"},
                        {"Connection": "upgrade"}, {"X-Long": "y" * 4000}):
            with self.subTest(changes=changes):
                self.assertEqual(self.refused(self.handshake(**changes)), 101)

    async def test_bad_handshakes(self):
        bad = [self.handshake(**{"Sec-WebSocket-Key": None}),
               self.handshake(**{"Sec-WebSocket-Key": "short"}),
               self.handshake(**{"Sec-WebSocket-Version": "12"}),
               self.handshake(**{"Sec-WebSocket-Version": None}),
               b"POST" + self.handshake()[3:],
               self.handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
               b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
               b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 70000 + b"\r\n\r\n",
               b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
               b"\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n"]
        for request in bad:
            with self.subTest(request=request[:60]):
                status = self.refused(request)
                self.assertTrue(status is None or 400 <= status < 600, status)

    async def test_an_unsupported_version_is_told_the_right_one(self):
        client = RawClient(self.server.port(), handshake=False)
        self.addCleanup(client.socket.close)
        client.socket.sendall(self.handshake(**{"Sec-WebSocket-Version": "8"}))
        head = client.http_head()
        self.assertRegex(head, r"^HTTP/1\.1 (400|426)")
        self.assertRegex(head, r"(?i)sec-websocket-version: ?13")

    async def test_random_bytes(self):
        for _ in range(50):
            with RawClient(self.server.port(), handshake=False) as client:
                client.socket.sendall(os.urandom(500))
            client = self.dial()
            client.socket.sendall(os.urandom(500))
            client.socket.close()

    async def test_connections_that_end_anywhere(self):
        request = self.handshake()
        for cut in range(0, len(request), 7):
            with RawClient(self.server.port(), handshake=False) as client:
                client.socket.sendall(request[:cut])

    async def test_a_bystander_on_the_same_channel_is_served_while_others_misbehave(self):
        rude = []
        for payload in (b"\xff" * 50, b"x" * 2000, b"{" * 5000):
            client = self.dial()
            client.send_json({"type": "subscribe", "data": {"channel": "by:stander"}})
            client.recv_json()
            client.send_frame(TEXT, payload)
            rude.append(client)
        self.publish("by:stander", data={"while": True})
        self.assertEqual((await self.bystander.event())["data"], {"while": True})


if __name__ == "__main__":
    main()
