"""Prometheus metrics of control and workers: present, well formed, and true."""
import re
import urllib.request

from harness import Case, eventually, main, service, small_config


def parse(text):
    """{name{labels}: value} of a Prometheus text."""
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
        """Sum of the samples of a name whose labels include these."""
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

    async def test_build_info(self):
        for samples in (self.control(), self.worker()):
            self.assertEqual(self.total(samples, "fanwire_build_info"), 1)

    async def test_the_names_that_existing_dashboards_ask_for(self):
        client = await self.connect()
        await client.subscribe("m:names")
        self.publish("m:names")
        await client.event()

        def all_there():
            names = {key.partition("{")[0] for key in [*self.control(), *self.worker()]}
            return {"websocket_connections_total", "websocket_connections_active",
                    "websocket_messages_total", "websocket_broadcast_total",
                    "websocket_connections", "websocket_subscriptions"} <= names
        await eventually(all_there, "the names")

    async def test_no_label_holds_a_channel_or_a_session(self):
        client = await self.connect()
        await client.subscribe("m:secret-channel")
        self.publish("m:secret-channel", level="written")
        for samples in (self.control(), self.worker()):
            for key in samples:
                self.assertNotIn("secret-channel", key)
                self.assertNotIn(client.connection_id, key)


if __name__ == "__main__":
    main()
