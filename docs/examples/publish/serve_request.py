#!/usr/bin/python3
"""A service that answers a request of its clients, and tells them of changes.

    export PYTHONPATH=clients/python/src        # or install the package: docs/publishing.md
    docs/examples/publish/serve_request.py

A client asks, on the port of fastblocks:
    {"type": "request", "id": "1", "event": "get_state", "data": {"state_path": "cart.items"}}
"""
import asyncio
import itertools

from fanwire.publisher import AsyncPublisher, RequestError

publisher = AsyncPublisher()
state = {"cart.items": 0}


@publisher.serve("fastblocks", "get_state")
async def get_state(request):
    path = request.data.get("state_path")
    if path not in state:
        raise RequestError("NOT_FOUND", f"no state {path}")
    return {"state_path": path, "value": state[path]}


async def main():
    async with publisher:  # connects and serves; publishing and serving go on over restarts
        for count in itertools.count(1):
            state["cart.items"] = count
            await publisher.enqueue("fastblocks", "state", "state.changed",
                                    {"state_path": "cart.items", "new_value": count})
            await asyncio.sleep(1)


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
