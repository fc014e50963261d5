"""Ports that another process holds: at the start, at a reload, and between two instances."""
import contextlib
import json
import socket
import unittest
import urllib.error
import urllib.request

from harness import Server, main, service, small_config
from harness.server import PATIENCE


def listen(port):
    """Holds a port as another program does."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", port))
    holder.listen()
    return holder


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False


def port_of(entry):
    return entry["listeners"][0]["port"]


class Ports(unittest.TestCase):
    def make(self, *services, **sections):
        server = Server(small_config(*services, **sections))
        self.addCleanup(server.stop)
        return server

    @staticmethod
    def get(address, path):
        """Returns the status and the parsed body."""
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def readyz(self, server):
        return self.get(server.config["control"]["ops_listen"], "/readyz")

    @staticmethod
    def errors(server):
        """Returns what each worker says of ports that it could not open, by service."""
        return {listener.service: listener.error for worker in server.workers()
                for listener in worker.listeners if listener.error}

    def test_one_busy_port_at_the_start_leaves_the_other_services_open(self):
        good, busy = service("mahavishnu"), service("akosha")
        holder = listen(port_of(busy))
        self.addCleanup(holder.close)
        server = self.make(good, busy, workers=2)
        server.start()
        self.assertTrue(accepts(port_of(good)))
        self.assertIn("akosha", self.errors(server))
        self.assertNotIn("mahavishnu", self.errors(server))

        health = server.wsctl("--output", "json", "health-check", check=False)
        self.assertEqual(health.returncode, 78, health.stdout)
        states = json.loads(health.stdout)["services"]
        self.assertEqual(states["mahavishnu"]["status"], "healthy")
        self.assertEqual(states["akosha"]["status"], "error")
        self.assertIn(str(port_of(busy)), states["akosha"]["error"])
        server.wsctl("health-check", "--service", "mahavishnu")
        status = json.loads(
            server.wsctl("--output", "json", "get-status", check=False).stdout)["services"]
        self.assertEqual(status["mahavishnu"]["server"]["status"], "running")
        self.assertEqual(status["akosha"]["server"]["status"], "error")

        code, ready = self.readyz(server)
        self.assertEqual((code, ready["ready"]), (503, False))
        self.assertIs(ready["services"]["mahavishnu"]["ready"], True)
        self.assertIs(ready["services"]["akosha"]["ready"], False)
        self.assertTrue(ready["services"]["akosha"]["error"])
        code, worker = self.get(server.ready_workers()[0].ops_address, "/readyz")
        self.assertEqual((code, worker["ready"]), (503, False))
        self.assertIs(worker["services"]["mahavishnu"]["ready"], True)
        self.assertIs(worker["services"]["akosha"]["ready"], False)
        # A balancer asks the service's own port.
        self.assertEqual(self.get(f"127.0.0.1:{port_of(good)}", "/readyz")[0], 200)
        for command in ("workers", "services"):
            notes = server.wsctl(command, "list").stderr
            self.assertIn(f"{port_of(busy)}", notes)
            self.assertIn("not open", notes)

        # A reload is not refused for it, and tries it again.
        server.config["limits"] = {"max_batch": 77}
        server.write_config()
        server.wsctl("config", "reload")
        holder.close()
        server.config["limits"] = {"max_batch": 78}
        server.write_config()
        server.wsctl("config", "reload")
        server.wait(lambda: not self.errors(server), "the port to open")
        self.assertTrue(accepts(port_of(busy)))
        server.wsctl("health-check")
        self.assertEqual(self.readyz(server)[0], 200)

    def test_a_busy_port_opens_by_itself_once_it_is_free(self):
        busy = service("akosha")
        holder = listen(port_of(busy))
        server = self.make(service("mahavishnu"), busy)
        server.start()
        self.assertIn("akosha", self.errors(server))
        holder.close()
        server.wait(lambda: not self.errors(server), "the next try")
        self.assertTrue(accepts(port_of(busy)))

    def test_a_reload_with_a_new_busy_port_is_refused_whole(self):
        first, busy, fresh = service("mahavishnu"), service("akosha"), service("dhruva")
        server = self.make(first)
        server.start()
        with listen(port_of(busy)):
            server.config["services"] = [first, fresh, busy]
            server.write_config()
            refused = server.wsctl("config", "reload", check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn(str(port_of(busy)), refused.stderr)
            self.assertFalse(accepts(port_of(fresh)))
            self.assertEqual(self.readyz(server)[0], 200)
        server.wsctl("config", "reload")
        self.assertTrue(accepts(port_of(fresh)))
        self.assertTrue(accepts(port_of(busy)))

    def test_two_instances_do_not_share_a_port_and_the_holder_is_named(self):
        shared = service("mahavishnu")
        first = self.make(shared, workers=2)
        first.start()
        holders = {str(worker.pid) for worker in first.ready_workers()}
        second = self.make(shared, service("akosha"), workers=2)
        second.start()
        errors = self.errors(second)
        self.assertEqual(list(errors), ["mahavishnu"])
        self.assertTrue(any(f"process {pid} " in errors["mahavishnu"] for pid in holders), errors)
        # All workers of one instance share its ports.
        self.assertEqual(self.errors(first), {})
        self.assertEqual(first.terminate(), 0)
        second.wait(lambda: not self.errors(second), "the port to be free")

    def test_an_orphan_of_a_control_that_was_killed_keeps_its_port_and_is_named(self):
        shared = service("mahavishnu")
        first = self.make(shared)
        first.start()
        orphan = first.ready_workers()[0].pid
        first.kill()
        second = self.make(shared, service("akosha"))
        second.start()
        self.assertIn(f"process {orphan} ", self.errors(second)["mahavishnu"])
        first.start()  # takes its worker back, and ends it


if __name__ == "__main__":
    main()
