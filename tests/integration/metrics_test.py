"""Prometheus metrics of control and workers exist, are well formed and have the right values."""
import re
import tempfile
import time
import unittest
import urllib.request

from harness import Case, Server, eventually, main, service, small_config
from harness.clocks import Clocks


def parse(text):
    """Parses a Prometheus text into {name{labels}: value}."""
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)( \d+)?", line)
            assert match, line
            samples[match.group(1) + (match.group(2) or "")] = float(match.group(3))
    return samples


class Metrics(Case):
    @classmethod
    def config(cls):
        return small_config(service(), service("akosha"))

    def scrape(self, address):
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            self.assertIn("text/plain", answer.headers["Content-Type"])
            return parse(answer.read().decode())

    def control(self):
        return self.scrape(self.server.config["control"]["ops_listen"])

    def worker(self):
        return self.scrape(self.server.workers()[0].ops_address)

    @staticmethod
    def total(samples, name, **labels):
        """Returns the sum of a metric's samples whose labels include these."""
        return sum(value for key, value in samples.items() if key.partition("{")[0] == name and
                   all(f'{label}="{text}"' in key for label, text in labels.items()))

    async def test_publications_are_counted(self):
        before = self.total(self.control(), "fanwire_control_publications_total")
        self.publisher.publish_many("m:a", 25)
        after = self.total(self.control(), "fanwire_control_publications_total")
        self.assertEqual(after - before, 25)

    async def test_sessions_and_deliveries_are_counted(self):
        clients = [await self.connect() for _ in range(4)]
        for client in clients:
            await client.subscribe("m:deliver")
        name = "fanwire_worker_deliveries_total"
        before = self.total(self.worker(), name, service="mahavishnu")
        self.publisher.publish_many("m:deliver", 10)
        for client in clients:
            await client.events(10)
        await eventually(lambda: self.total(self.worker(), name, service="mahavishnu") - before
                         == 40, "40 deliveries")
        self.assertEqual(self.total(self.worker(), "fanwire_worker_sessions",
                                    service="mahavishnu"), 4)

    async def test_workers_attached(self):
        self.assertEqual(self.total(self.control(), "fanwire_control_workers_attached"), 1)
        self.assertEqual(self.total(self.worker(), "fanwire_worker_link_connected"), 1)

    async def test_the_engine(self):
        self.publish("m:engine")
        samples = self.control()
        self.assertEqual(samples['fanwire_control_engine_info{engine="memory"}'], 1)
        self.assertEqual(samples["fanwire_control_engine_healthy"], 1)
        self.assertGreater(samples["fanwire_control_history_bytes"], 0)
        self.assertEqual(samples["fanwire_control_history_max_bytes"], 1 << 30)
        for name in ("disk_bytes", "waiting_publications", "lag_seconds"):
            self.assertEqual(samples["fanwire_control_engine_" + name], 0)

    async def test_build_info(self):
        for samples in (self.control(), self.worker()):
            self.assertEqual(self.total(samples, "fanwire_build_info"), 1)

    async def test_the_names_that_existing_dashboards_ask_for(self):
        await eventually(lambda: self.total(self.worker(), "websocket_connections_active") == 0,
                         "the sessions of other tests to be gone")
        before = self.worker()
        client = await self.connect()
        await client.subscribe("m:names")
        await client.request("history", {"channel": "m:names"})
        self.assertEqual((await client.request("subscribe", {"channel": ""}))["type"], "error")
        await client.send("no JSON")
        await client.recv()
        self.publisher.publish_many("m:names", 10)
        await client.events(10)
        after = self.worker()

        def grown(name, **labels):
            labels["server"] = "mahavishnu"
            return self.total(after, name, **labels) - self.total(before, name, **labels)
        self.assertEqual(grown("websocket_connections_total", tls_mode="ws"), 1)
        self.assertEqual(grown("websocket_connections_active"), 1)
        self.assertEqual(grown("websocket_messages_total", direction="received"), 4)
        self.assertEqual(grown("websocket_messages_total", direction="sent",
                               message_type="event"), 10)
        self.assertEqual(grown("websocket_broadcast_total", channel="other"), 10)
        self.assertEqual(grown("websocket_message_errors_total", error_type="decode_error"), 1)
        self.assertEqual(grown("websocket_connection_errors_total"), 0)
        # One fan-out delivers all events that a channel got in one turn of the loop.
        name = "websocket_broadcast_duration_seconds"
        fanouts = grown(name + "_count", channel="other")
        self.assertTrue(1 <= fanouts <= 10, fanouts)
        self.assertEqual(grown(name + "_bucket", channel="other", le="+Inf"), fanouts)
        self.assertTrue(0 < grown(name + "_sum", channel="other") < 10)
        name = "websocket_latency_seconds"
        self.assertEqual(grown(name + "_count", message_type="event"), fanouts)
        self.assertTrue(0 < grown(name + "_sum", message_type="event") < 10)
        self.assertEqual(grown(name + "_count", message_type="request"), 3)
        # The names that the dashboard uses.
        self.assertEqual(grown("websocket_connections"), 1)
        self.assertEqual(grown("websocket_subscriptions"), 1)
        self.assertEqual(grown("websocket_errors_total"), 1)
        self.assertEqual(self.total(after, "websocket_health", server="mahavishnu"), 1)
        # The same in Fanwire's own names.
        own = "fanwire_worker_fanout_duration_seconds_count"
        self.assertEqual(self.total(after, own, service="mahavishnu") -
                         self.total(before, own, service="mahavishnu"), fanouts)

    async def test_buckets_are_those_of_existing_dashboards(self):
        client = await self.connect()
        await client.subscribe("m:buckets")
        self.publish("m:buckets")
        await client.event()

        def bounds(name, **labels):
            return [float(key.partition('le="')[2].partition('"')[0])
                    for key in self.worker() if key.startswith(name + "_bucket{")
                    and all(f'{label}="{text}"' in key for label, text in labels.items())]
        common = [.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5]
        self.assertEqual(bounds("websocket_broadcast_duration_seconds", server="mahavishnu",
                                channel="other"), [*common, float("inf")])
        self.assertEqual(bounds("websocket_latency_seconds", server="mahavishnu",
                                message_type="event"), [*common, 10, float("inf")])

    async def test_publishing_is_timed(self):
        name = "fanwire_control_publish_duration_seconds"
        before = self.control()
        self.publisher.publish_many("m:timed", 25)
        after = self.control()
        self.assertEqual(self.total(after, name + "_count", service="mahavishnu") -
                         self.total(before, name + "_count", service="mahavishnu"), 25)
        self.assertGreater(self.total(after, name + "_sum"), self.total(before, name + "_sum"))

    async def test_disconnects_are_counted_by_their_code(self):
        name = "fanwire_worker_disconnects_total"
        before = self.worker()
        client = await self.connect()
        self.server.wsctl("connections", "disconnect", client.connection_id)
        await client.closed()
        await (await self.connect()).close()

        def counted():
            after = self.worker()
            return [self.total(after, name, service="mahavishnu", code=code) -
                    self.total(before, name, service="mahavishnu", code=code)
                    for code in ("4500", "1000", "1006")] == [1, 1, 0]
        await eventually(counted, "both disconnects")

    async def test_no_label_holds_a_channel_or_a_session(self):
        client = await self.connect()
        await client.subscribe("m:secret-channel")
        self.publish("m:secret-channel", level="written")
        for samples in (self.control(), self.worker()):
            for key in samples:
                self.assertNotIn("secret-channel", key)
                self.assertNotIn(client.connection_id, key)


class StartTime(unittest.TestCase):
    def test_it_is_the_process_s_and_not_that_of_the_first_scrape(self):
        with tempfile.TemporaryDirectory(prefix="fanwire-", dir="/tmp") as directory:
            clocks = Clocks(directory)
            server = Server(small_config(workers=1), environment=clocks.environment)
            self.addCleanup(server.stop)
            before = time.time()
            server.start()
            clocks.pass_time(1000)
            after = time.time()
            for address in (server.config["control"]["ops_listen"],
                            server.wait(server.ready_workers, "a worker")[0].ops_address):
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                    started = parse(answer.read().decode())["process_start_time_seconds"]
                self.assertGreater(started, before - 1)
                self.assertLess(started, after + 1)


if __name__ == "__main__":
    main()
