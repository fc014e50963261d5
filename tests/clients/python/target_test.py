"""Where a publisher looks for control, and when it shows a token."""
import os
import pathlib
import socket
import tempfile
import unittest
from unittest import mock

import grpc

from fanwire.publisher import Publisher
from fanwire.target import Target


class Addresses(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.environment = {"XDG_RUNTIME_DIR": self.folder.name}
        patch = mock.patch.dict(os.environ, self.environment, clear=True)
        patch.start()
        self.addCleanup(patch.stop)

    def listen(self, *parts):
        path = pathlib.Path(self.folder.name, *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        self.addCleanup(listener.close)
        return f"unix:{path}"

    def test_the_default_is_the_port_of_control(self):
        with mock.patch("os.stat", side_effect=FileNotFoundError):
            self.assertEqual(Target().address(), "127.0.0.1:8701")

    def test_the_local_socket_comes_first(self):
        self.assertEqual(self.listen("fanwire", "control.sock"), Target().address())

    def test_a_systemd_services_own_folder(self):
        os.environ["RUNTIME_DIRECTORY"] = self.folder.name
        self.assertEqual(self.listen("control.sock"), Target().address())

    def test_a_file_that_is_no_socket_does_not_count(self):
        pathlib.Path(self.folder.name, "fanwire").mkdir()
        pathlib.Path(self.folder.name, "fanwire", "control.sock").touch()
        self.assertNotIn(self.folder.name, Target().address())

    def test_a_socket_that_appears_later_is_found(self):
        target = Target()
        self.assertNotIn(self.folder.name, target.address())
        self.assertEqual(self.listen("fanwire", "control.sock"), target.address())

    def test_the_environment_and_then_the_argument_win(self):
        self.listen("fanwire", "control.sock")
        os.environ["FANWIRE_SERVER"] = "control.example.org"
        self.assertEqual(Target().address(), "control.example.org:8701")
        self.assertEqual(Target("unix:/run/x.sock").address(), "unix:/run/x.sock")

    def test_forms(self):
        for text, expected in (("h", "h:8701"), ("h:1", "h:1"), ("[::1]", "[::1]:8701"),
                               ("[::1]:5", "[::1]:5"), ("unix:a", "unix:a")):
            self.assertEqual(Target(text).address(), expected)

    def test_wrong_addresses_are_refused_at_once(self):
        for text in ("::1", "h:0", "h:x", "h:65536", ":8701", "h:²"):
            with self.assertRaisesRegex(ValueError, "target "):
                Publisher(text)

    def test_a_token_does_not_travel_in_the_clear(self):
        for target in ("control.example.org", "10.0.0.1:8701", "[fe80::1]"):
            with self.assertRaisesRegex(ValueError, "in the clear"):
                Publisher(target, token="secret")
            Publisher(target, token="secret", credentials=grpc.ssl_channel_credentials())
            Publisher(target)
        for target in ("localhost", "127.1.2.3:5", "[::1]", "unix:/run/x"):
            Publisher(target, token="secret")

    def test_the_token_of_the_environment(self):
        os.environ["FANWIRE_TOKEN"] = "secret"
        self.assertEqual(Target("localhost").metadata(), [("authorization", "Bearer secret")])
        self.assertEqual(Target("localhost", token="mine").metadata(),
                         [("authorization", "Bearer mine")])
        self.assertEqual(Target("localhost", token="").metadata(), [])

    def test_metadata(self):
        self.assertEqual(Target("h", metadata=[("a", "b")]).metadata(), [("a", "b")])
        self.assertEqual(Target("h", metadata=lambda: {"a": "c"}).metadata(), [("a", "c")])


if __name__ == "__main__":
    unittest.main(verbosity=2)
