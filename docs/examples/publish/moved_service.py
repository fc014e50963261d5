#!/usr/bin/python3
"""A service that had a WebSocket server of its own, moved over to Fanwire by changing its import.

    export PYTHONPATH=clients/python/src        # or install the package: docs/publishing.md
    docs/examples/publish/moved_service.py
"""
import asyncio
import types

# Before: from mahavishnu.websocket.integration import (
from fanwire.broadcaster import (
    WebSocketBroadcaster,
    get_websocket_status,
    start_websocket_server,
    stop_websocket_server,
)

settings = types.SimpleNamespace(websocket_enabled=True)


async def fetch_sources():
    return {"files": 12}


async def write_code():
    return {"lines": 340}


async def run_workflow(tells, workflow_id, stages):
    await tells.workflow_started(workflow_id, {"prompt": "Add a retry", "adapter": "worker"})
    for stage in stages:
        try:
            result = await stage()
        except Exception as error:
            await tells.workflow_failed(workflow_id, str(error))
            raise
        await tells.workflow_stage_completed(workflow_id, stage.__name__, result)
    await tells.workflow_completed(workflow_id, {"stages": len(stages)})


async def main():
    server = await start_websocket_server(pool_manager=None, settings=settings)
    tells = WebSocketBroadcaster(server)
    await run_workflow(tells, "wf_example", [fetch_sources, write_code])
    print(get_websocket_status(server))
    await stop_websocket_server(server)


asyncio.run(main())
