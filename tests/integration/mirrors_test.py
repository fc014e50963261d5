"""Mirrors of the shipped configuration: copies in `global`, `worker:{id}` and `coverage`."""
from harness import Case, main, shipped_config


class Mirrors(Case):
    @classmethod
    def config(cls):
        return shipped_config()

    async def test_global_carries_workflows_pools_workers_and_tasks(self):
        client = await self.connect()
        await client.subscribe("global")
        sent = [("workflow:w1", "workflow.started", {"workflow_id": "w1"}),
                ("pool:p1", "pool.spawned", {"pool_id": "p1"}),
                ("pool:p1", "worker.added", {"pool_id": "p1", "worker_id": "k1"}),
                ("pool:p1", "task.assigned", {"pool_id": "p1", "worker_id": "k1", "task": {}}),
                ("adapters", "adapter.registered", {"adapter_id": "a1"}),
                ("workflow:w1", "workflow.completed", {"workflow_id": "w1"})]
        receipts = [self.publish(*event) for event in sent]
        frames = await client.events(5)
        expected = [(name, data, receipt.id) for (_, name, data), receipt in zip(sent, receipts)
                    if name != "adapter.registered"]
        self.assertEqual([(f["event"], f["data"], f["id"]) for f in frames], expected)
        self.assertEqual({frame["room"] for frame in frames}, {"global"})
        offsets = [frame["offset"] for frame in frames]
        self.assertEqual(offsets, list(range(offsets[0], offsets[0] + 5)))

    async def test_a_client_on_both_channels_gets_both_copies(self):
        client = await self.connect()
        await client.subscribe("global")
        await client.subscribe("workflow:both")
        receipt = self.publish("workflow:both", "workflow.started", {"workflow_id": "both"})
        frames = await client.events(2)
        self.assertEqual({frame["room"] for frame in frames}, {"global", "workflow:both"})
        self.assertEqual({frame["id"] for frame in frames}, {receipt.id})
        origin = [frame for frame in frames if frame["room"] == "workflow:both"][0]
        self.assertEqual((origin["epoch"], origin["offset"]),
                         (receipt.position.epoch, receipt.position.offset))
        self.assertEqual(await client.until_quiet(), [])

    async def test_everything_sees_both(self):
        client = await self.connect()
        await client.subscribe("**")
        self.publish("workflow:starstar", "workflow.started", {"workflow_id": "starstar"})
        self.assertEqual({frame["room"] for frame in await client.events(2)},
                         {"global", "workflow:starstar"})
        self.assertEqual(await client.until_quiet(), [])

    async def test_worker_channel(self):
        client = await self.connect()
        await client.subscribe("worker:w-7")
        self.publish("pool:p2", "worker.status_changed",
                     {"pool_id": "p2", "worker_id": "w-7", "status": "busy"})
        self.publish("pool:p2", "worker.status_changed",
                     {"pool_id": "p2", "worker_id": "w-8", "status": "busy"})
        self.publish("pool:p2", "pool.scaled", {"pool_id": "p2", "worker_count": 3})
        frame = await client.event("worker.status_changed")
        self.assertEqual(frame["room"], "worker:w-7")
        self.assertEqual(frame["data"]["worker_id"], "w-7")
        self.assertEqual(await client.until_quiet(), [])

    async def test_coverage_is_told_on_both_channels(self):
        client = await self.connect("crackerjack")
        await client.subscribe("coverage")
        await client.subscribe("quality:akosha")
        self.publish("quality:akosha", "coverage.updated",
                     {"project": "akosha", "line_coverage": 81.5}, service="crackerjack")
        self.assertEqual({frame["room"] for frame in await client.events(2)},
                         {"coverage", "quality:akosha"})

    async def test_written_sums_over_the_copies(self):
        one, other = await self.connect(), await self.connect()
        await one.subscribe("workflow:sum")
        await other.subscribe("worker:sum")
        receipt = self.publish("workflow:sum", "workflow.started",
                               {"workflow_id": "sum", "worker_id": "sum"}, level="written")
        self.assertEqual(receipt.delivery.matched, 2)
        self.assertEqual(receipt.delivery.written, 2)

    async def test_a_mirror_has_history_of_its_own(self):
        client = await self.connect()
        start = await client.subscribe("global")
        await client.unsubscribe("global")
        for number in range(3):
            self.publish(f"workflow:h{number}", "workflow.started", {"workflow_id": f"h{number}"})
        confirmation = await client.subscribe("global", recover={
            "epoch": start["epoch"], "offset": start["offset"]})
        self.assertIs(confirmation["recovered"], True)
        self.assertEqual(confirmation["recovered_count"], 3)
        self.assertEqual([frame["data"]["workflow_id"] for frame in await client.events(3)],
                         ["h0", "h1", "h2"])

    async def test_what_is_published_to_global_itself_is_not_mirrored(self):
        client = await self.connect()
        await client.subscribe("global")
        self.publish("global", "workflow.started", {"workflow_id": "direct"})
        self.assertEqual((await client.event())["data"], {"workflow_id": "direct"})
        self.assertEqual(await client.until_quiet(), [])


if __name__ == "__main__":
    main()
