"""How connections end, and what the close frame says."""
from harness import Case, RawClient, close_payload, eventually, main
from harness.raw import CLOSE, TEXT


class CloseCodes(Case):
    async def test_1000_is_answered_with_1000(self):
        with RawClient(self.server.port()) as client:
            client.recv_json()
            client.send_frame(CLOSE, close_payload(1000))
            self.assertEqual(client.recv_close(), (1000, ""))
            self.assertTrue(client.at_end())

    async def test_a_close_without_code_is_answered(self):
        with RawClient(self.server.port()) as client:
            client.recv_json()
            client.send_frame(CLOSE)
            self.assertIn(client.recv_close(), [(1000, ""), (1005, "")])
            self.assertTrue(client.at_end())

    async def test_codes_of_the_application_are_echoed(self):
        for code in (1001, 1011, 3000, 4000, 4999):
            with self.subTest(code=code), RawClient(self.server.port()) as client:
                client.recv_json()
                client.send_frame(CLOSE, close_payload(code, b"bye"))
                answer = client.recv_close()
                self.assertEqual(answer[0], code)

    async def test_codes_that_may_not_be_sent_are_1002(self):
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
            with self.subTest(code=code), RawClient(self.server.port()) as client:
                client.recv_json()
                client.send_frame(CLOSE, close_payload(code))
                self.assertEqual(client.recv_close()[0], 1002)

    async def test_1007_for_text_that_is_not_utf8(self):
        with RawClient(self.server.port()) as client:
            client.recv_json()
            client.send_frame(TEXT, b'{"type":"ping","id":"\xff"}')
            self.assertEqual(client.recv_close()[0], 1007)

    async def test_4500_by_an_operator_names_its_reason(self):
        client = await self.connect()
        self.server.wsctl("connections", "disconnect", client.connection_id)
        self.assertEqual(await client.closed(), (4500, "disconnected by operator"))

    async def test_an_operator_may_choose_code_and_reason(self):
        client = await self.connect()
        self.server.wsctl("connections", "disconnect", client.connection_id, "--code", "4321",
                          "--reason", "maintenance")
        self.assertEqual(await client.closed(), (4321, "maintenance"))

    async def test_a_connection_that_just_ends_is_forgotten(self):
        client = RawClient(self.server.port())
        identifier = client.recv_json()["data"]["connection_id"]
        client.socket.close()

        def gone():
            return self.server.wsctl("connections", "show", identifier,
                                     check=False).returncode == 69  # NOT_FOUND
        await eventually(gone, "the connection to be forgotten")


if __name__ == "__main__":
    main()
