"""The wall clock is set back while workers have clients; control is killed and started again."""
import asyncio
import shutil
import tempfile

from harness import Case, Publisher, Server, main, service, small_config
from harness.clocks import Clocks


class WallClock(Case):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="fanwire-", dir="/tmp")
        cls.clocks = Clocks(cls.directory)
        cls.server = Server(
            small_config(service(), workers=2, control={"adopt_window": "1s",
                                                        "frozen_kill_after": "3s"}),
            environment=cls.clocks.environment)
        cls.server.start()
        cls.publisher = Publisher(cls.server)
        cls.publish = cls.publisher.publish

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.directory)

    async def test_workers_attach_again_and_keep_their_clients(self):
        for step in (-3600, 7200, -30):
            with self.subTest(step=step):
                clients = [await self.connect() for _ in range(6)]
                for client in clients:
                    await client.subscribe("clock:a")
                self.publish("clock:a", data={"n": 0})
                for client in clients:
                    self.assertEqual(await client.numbers(1), [0])
                before = {worker.id: worker.pid for worker in self.server.ready_workers()}
                self.server.kill()
                # In many parts, so that some come while a timer of the workers' runs.
                for _ in range(50):
                    self.clocks.step_wall(step / 50)
                    await asyncio.sleep(0.05)
                self.server.start()
                after = {worker.id: worker.pid for worker in self.server.ready_workers()}
                self.assertEqual(after, before)
                number = abs(step)
                self.publish("clock:a", data={"n": number})
                for client in clients:
                    # The memory engine begins new epochs, which each client is told first.
                    await client.event("channel.skipped")
                    self.assertEqual(await client.numbers(1), [number])
                    await client.close()


if __name__ == "__main__":
    main()
