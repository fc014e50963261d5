"""Tokens: how clients may send them, which ones are valid, and what they permit."""
import asyncio
import json
import time

from harness import Case, Client, main, service, small_config, token

OTHER_SECRET = "another-secret-for-tests-9876543210"


class Auth(Case):
    @classmethod
    def config(cls):
        from harness.token import SECRET
        permissions = [{"prefix": "workflow:", "any_of": ["workflow:read"]},
                       {"prefix": "pool:", "any_of": ["pool:read"]},
                       {"prefix": "goal-teams*", "any_of": ["team:read"]},
                       {"prefix": "metrics", "any_of": ["akosha:read"]}]
        keys = [{"secret": SECRET}, {"id": "second", "secret": OTHER_SECRET}]
        return small_config(
            service(keys=keys, permissions=permissions, admin_permissions=["mahavishnu:admin"],
                    listener={"auth_required": True}),
            service("akosha", keys=keys, permissions=permissions),  # an open listener
            service("crackerjack", keys=keys, permissions=permissions,
                    read_permission_reads_all=True, listener={"auth_required": True},
                    token_in_query=False, token_in_header=False))

    async def auth(self, text, name="mahavishnu", **keys):
        """Connects, sends the token as the first frame and returns (client, answer)."""
        client = await Client.connect(self.server.url(name), welcome=False)
        self.addAsyncCleanup(client.close)
        await client.send({"type": "request", "id": "a1", "event": "auth",
                           "data": {"token": text}, **keys})
        return client, await client.recv()

    async def assert_refused(self, client, answer, message="Invalid or expired token"):
        self.assertEqual(answer["type"], "error")
        self.assertEqual(answer["error_code"], "AUTH_FAILED")
        self.assertEqual(answer["error_message"], message)
        self.assertEqual(answer["correlation_id"], "a1")
        self.assertEqual(await client.closed(), (1008, "Authentication failed"))

    async def test_the_server_is_silent_until_auth_came(self):
        client = await Client.connect(self.server.url(), welcome=False)
        self.addAsyncCleanup(client.close)
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(client.socket.recv(), 0.3)
        await client.send({"type": "request", "id": "a1", "event": "auth",
                           "data": {"token": token("ana")}})
        answer = await client.recv()
        self.assertEqual(answer["type"], "response")
        self.assertEqual(answer["event"], "auth")
        self.assertEqual(answer["correlation_id"], "a1")
        self.assertEqual(answer["data"]["status"], "authenticated")
        self.assertEqual(answer["data"]["user_id"], "ana")
        self.assertEqual(answer["status"], "authenticated")
        self.assertEqual(answer["user_id"], "ana")
        welcome = await client.recv()
        self.assertEqual(welcome["event"], "session.created")
        self.assertIs(welcome["data"]["authenticated"], True)
        self.assertIsNotNone(welcome["data"]["session_expires_at"])

    async def test_good_tokens(self):
        for text, user in [
                (token("ana", ["admin"]), "ana"),
                (token(None, sub="bela", scopes=["admin"]), "bela"),
                (token("chen", expires_in=None), "chen"),
                (token(None), None),
                (token("dara", aud="mahavishnu"), "dara"),
                (token("dara", iss="anybody"), "dara"),
                (token("ana", secret=OTHER_SECRET, headers={"kid": "second"}), "ana"),
                (token("ana", secret=OTHER_SECRET), "ana"),
                (token(42), "42"), (token(None, sub=-7), "-7"),
                (token("ana", iat=int(time.time()) + 2, nbf=int(time.time()) + 2), "ana"),
                (token("ana", exp=time.time() + 3600.5), "ana"),
                (token("ana", exp=253402300799), "ana")]:
            with self.subTest(user=user, text=text):
                _, answer = await self.auth(text)
                self.assertEqual(answer["type"], "response", answer)
                self.assertEqual(answer["data"]["user_id"], user)

    async def test_bad_tokens(self):
        good = token("ana")
        head, body, signature = good.split(".")
        for text in [
                "", "x", "a.b.c", good[:-2], f"{head}.{body}.", f"{head}..{signature}",
                f"{head}.{body[:-4]}AAAA.{signature}",
                token("ana", secret="some-other-secret-0123456789"),
                token("ana", expires_in=-60),
                token("ana", nbf=int(time.time()) + 3600),
                token("ana", iat=int(time.time()) + 3600),
                token("ana", headers={"crit": ["exp2"], "exp2": 1}),
                token(None, sub=1.5), token(["ana"]), token("ana", aud=[]),
                token("ana", exp=str(int(time.time()) + 3600)),
                token("ana", exp=int(time.time() + 3600) * 1000), token("ana", exp=253402300800),
                token("ana", aud="akosha"),
                token("ana", algorithm="none", secret=None),
                token("ana", algorithm="HS384"), token("ana", algorithm="HS512")]:
            with self.subTest(text=text):
                await self.assert_refused(*await self.auth(text))

    async def test_a_refusal_names_the_claim(self):
        for text, reason in [
                (token("ana", exp=str(int(time.time()) + 3600)), "claim exp: a text"),
                (token("ana", exp=int(time.time() + 3600) * 1000), "claim exp: "),
                (token("ana", aud=[]), "claim aud: an empty list"),
                (token("ana", aud="akosha"), "claim aud: "),
                (token(True), "claim user_id: "),
                (token("ana", expires_in=-60), "claim exp: the token expired at "),
                ("x" * 8193, "token: 8193 bytes"),
                ("e30=.e30=.AA", "token header: padded")]:
            with self.subTest(reason=reason):
                client, answer = await self.auth(text)
                await self.assert_refused(client, answer)
                self.assertTrue(answer["reason"].startswith(reason), answer)

    async def test_token_missing_or_no_text(self):
        for data in ({}, {"token": None}, {"token": 7}, {"token": ["x"]}):
            with self.subTest(data=data):
                client = await Client.connect(self.server.url(), welcome=False)
                await client.send({"type": "request", "id": "a1", "event": "auth", "data": data})
                await self.assert_refused(client, await client.recv(),
                                          "Missing or malformed auth token")

    async def test_another_first_message(self):
        for message in ({"type": "request", "id": "1", "event": "subscribe",
                         "data": {"channel": "workflow:a"}}, {"type": "ping"},
                        {"type": "event", "event": "auth", "data": {"token": token("ana")}}):
            with self.subTest(message=message):
                client = await Client.connect(self.server.url(), welcome=False)
                await client.send(message)
                answer = await client.recv()
                self.assertEqual(answer["error_code"], "AUTH_REQUIRED")
                self.assertEqual(answer["error_message"], "Authentication required")
                self.assertIsNone(answer["correlation_id"])
                self.assertEqual(await client.closed(), (1008, "Authentication required"))

    async def test_an_undecodable_first_frame(self):
        client = await Client.connect(self.server.url(), welcome=False)
        await client.send("nonsense")
        answer = await client.recv()
        self.assertEqual(answer["error_code"], "AUTH_REQUIRED")
        self.assertEqual(await client.closed(), (1008, "Authentication required"))

    async def test_header(self):
        client = await self.connect(
            extra_headers={"Authorization": f"Bearer {token('ana', ['workflow:read'])}"})
        self.assertIs(client.welcome["data"]["authenticated"], True)
        await client.subscribe("workflow:a")

    async def test_query(self):
        client = await self.connect(path=f"/?token={token('ana', ['workflow:read'])}")
        self.assertIs(client.welcome["data"]["authenticated"], True)
        await client.subscribe("workflow:a")

    async def test_a_bad_token_in_header_or_query_is_refused_like_a_bad_frame(self):
        for options in ({"extra_headers": {"Authorization": "Bearer nonsense"}},
                        {"path": "/?token=nonsense"}):
            for name in ("mahavishnu", "akosha"):
                with self.subTest(options=options, service=name):
                    url = self.server.url(name, path=options.get("path", ""))
                    headers = options.get("extra_headers")
                    client = await Client.connect(url, welcome=False, extra_headers=headers)
                    answer = await client.recv()
                    self.assertEqual(answer["error_code"], "AUTH_FAILED")
                    self.assertEqual(await client.closed(), (1008, "Authentication failed"))

    async def test_header_and_query_may_be_switched_off(self):
        client = await Client.connect(
            self.server.url("crackerjack", path=f"/?token={token('ana')}"), welcome=False,
            extra_headers={"Authorization": f"Bearer {token('ana')}"})
        await client.send({"type": "ping"})
        self.assertEqual((await client.recv())["error_code"], "AUTH_REQUIRED")

    async def may(self, client, channel):
        reply = await client.request("subscribe", {"channel": channel})
        if reply["type"] == "error":
            self.assertEqual(reply["error_code"], "FORBIDDEN")
            self.assertEqual(reply["error_message"], f"Not authorized to subscribe to {channel}")
            return False
        await client.unsubscribe(channel)
        return True

    async def signed_in(self, permissions, name="mahavishnu", **claims):
        client, answer = await self.auth(token("ana", permissions, **claims), name)
        self.assertEqual(answer["type"], "response", answer)
        await client.recv()
        return client

    async def test_permissions(self):
        client = await self.signed_in(["workflow:read", "team:read"])
        for channel, allowed in [
                ("workflow:a", True), ("workflow:a:b", True), ("workflow:*", True),
                ("workflow:**", True), ("pool:a", False), ("global", False), ("adapters", False),
                ("**", False), ("*", False), ("*:a", False), ("goal-teams", True),
                ("goal-teams:ana", True), ("goal-teams:*", True), ("metrics", False)]:
            with self.subTest(channel=channel):
                self.assertEqual(await self.may(client, channel), allowed)

    async def test_an_exact_rule_is_for_that_channel_alone(self):
        client = await self.signed_in(["akosha:read"])
        self.assertTrue(await self.may(client, "metrics"))
        self.assertFalse(await self.may(client, "metrics:a"))
        self.assertFalse(await self.may(client, "metrics2"))

    async def test_admins_may_read_everything(self):
        for permission in ("admin", "mahavishnu:admin"):
            client = await self.signed_in([permission])
            for channel in ("workflow:a", "global", "anything", "**"):
                self.assertTrue(await self.may(client, channel), (permission, channel))

    async def test_admin_of_another_service_is_nobody(self):
        client = await self.signed_in(["akosha:admin"])
        self.assertFalse(await self.may(client, "workflow:a"))

    async def test_read_opens_nothing_unless_told_so(self):
        client = await self.signed_in(["read"])
        self.assertFalse(await self.may(client, "workflow:a"))
        client = await self.signed_in(["read"], "crackerjack")
        self.assertTrue(await self.may(client, "workflow:a"))
        self.assertFalse(await self.may(client, "global"))

    async def test_anonymous_sessions_of_an_open_listener_read_all(self):
        client = await self.connect("akosha")
        self.assertIs(client.welcome["data"]["authenticated"], False)
        for channel in ("workflow:a", "global", "**"):
            self.assertTrue(await self.may(client, channel))

    async def test_auth_after_the_welcome_of_an_open_listener(self):
        client = await self.connect("akosha")
        reply = await client.request("auth", {"token": "nonsense"})
        self.assertEqual(reply["error_code"], "AUTH_FAILED")
        self.assertTrue(await self.may(client, "global"))
        reply = await client.request("auth", {"token": token("ana", ["workflow:read"])})
        self.assertEqual(reply["data"], {**reply["data"], "status": "authenticated",
                                         "user_id": "ana"})
        self.assertTrue(await self.may(client, "workflow:a"))
        self.assertFalse(await self.may(client, "global"))

    async def test_a_later_token_that_allows_less_ends_subscriptions(self):
        for request in ("auth", "refresh_token"):
            client = await self.connect("akosha")
            await client.subscribe("workflow:a")
            await client.subscribe("global")
            await client.subscribe("pool:*")
            reply = await client.request(request, {"token": token("ana", ["workflow:read"])})
            self.assertEqual(reply["event"], request, reply)
            ended = [await client.event("channel.unsubscribed") for _ in range(2)]
            self.assertEqual([frame["data"] for frame in ended], [
                {"channel": name, "reason": "permissions_changed"} for name in ("global", "pool:*")])
            for channel in ("global", "pool:a", "workflow:a"):
                self.publish(channel, service="akosha", level="written")
            self.assertEqual([frame["room"] for frame in await client.until_quiet()],
                             ["workflow:a"])

    async def test_a_refreshed_token_keeps_the_session(self):
        client = await self.signed_in(["workflow:read"], expires_in=3)
        expiring = await client.event("token.expiring")
        self.assertTrue(expiring["data"]["expires_at"])
        reply = await client.request("refresh_token", {"token": "nonsense"})
        self.assertEqual(reply["error_code"], "AUTH_FAILED")
        reply = await client.request("refresh_token",
                                     {"token": token("ana", ["workflow:read"], expires_in=6)})
        self.assertEqual((reply["data"]["status"], reply["data"]["user_id"]), ("refreshed", "ana"))
        self.assertGreater(reply["data"]["expires_at"], expiring["data"]["expires_at"])
        again = await client.event("token.expiring")
        self.assertEqual(again["data"]["expires_at"], reply["data"]["expires_at"])
        self.assertEqual(await client.closed(), (4004, "token expired"))

    async def test_a_session_ends_when_its_token_does(self):
        client = await self.signed_in(["admin"], expires_in=2)
        self.assertEqual(await client.closed(), (4004, "token expired"))

    async def test_wsctl_mints_tokens_that_work(self):
        from harness.token import SECRET
        minted = self.server.wsctl("token", "mint", "--secret", SECRET, "--user", "ana",
                                   "--permission", "workflow:read").stdout.strip()
        client, answer = await self.auth(minted)
        self.assertEqual(answer["data"]["user_id"], "ana")
        await client.recv()
        self.assertTrue(await self.may(client, "workflow:a"))
        self.assertFalse(await self.may(client, "pool:a"))

    async def test_no_token_is_written_to_the_log(self):
        secret_part = token("ana").split(".")[2]
        await self.auth(token("ana"))
        await self.connect(path=f"/?token={token('ana')}")
        self.assertNotIn(secret_part, self.server.log())
        self.assertNotIn("eyJ", self.server.log())


class AuthTimeout(Case):
    @classmethod
    def config(cls):
        from harness.token import SECRET
        return small_config(service(keys=[{"secret": SECRET}], listener={"auth_required": True}),
                            limits={"auth_timeout": "300ms"})

    async def test_who_never_authenticates_is_closed(self):
        client = await Client.connect(self.server.url(), welcome=False)
        frames = []
        try:
            while True:
                frames.append(json.loads(await client.recv_text()))
        except Exception:  # noqa: BLE001 - closed
            pass
        self.assertEqual(client.socket.close_code, 1008)
        self.assertEqual([frame["error_code"] for frame in frames], ["AUTH_REQUIRED"])


if __name__ == "__main__":
    main()
