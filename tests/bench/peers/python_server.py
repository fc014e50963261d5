"""Peer: Debian's python3-websockets.  Every text message goes to all other connections.

  python_server.py PORT
"""
import asyncio
import sys

import websockets

clients = set()


async def serve(socket):
    clients.add(socket)
    try:
        async for message in socket:
            websockets.broadcast(clients - {socket}, message)
    finally:
        clients.discard(socket)


async def main():
    async with websockets.serve(serve, "127.0.0.1", int(sys.argv[1]), compression=None,
                                ping_interval=None, backlog=4096):
        print("ready", flush=True)
        await asyncio.Future()


asyncio.run(main())
