#!/usr/bin/python3
"""Subscribes to channels of a Fanwire service and prints each event.

  deploy/client.py [URL [CHANNEL...]]

URL is the address of a service's port, by default mahavishnu's.  CHANNEL is a channel or a
pattern, by default "workflow:*".  After a lost connection the client reconnects and recovers the
events that it missed.
"""
import asyncio
import json
import signal
import sys

import websockets


async def follow(url, channels):
    positions = {}  # channel -> last epoch and offset; only for exact names, not for patterns
    while True:
        try:
            async with websockets.connect(url) as socket:
                welcome = json.loads(await socket.recv())
                print(f"connected to {url} as {welcome['data']['connection_id']}", flush=True)
                for channel in channels:
                    data = {"channel": channel}
                    if channel in positions:
                        data["recover"] = positions[channel]
                    await socket.send(json.dumps(
                        {"type": "request", "id": channel, "event": "subscribe", "data": data}))
                async for text in socket:
                    message = json.loads(text)
                    if message["type"] == "error":
                        print(f"{message['error_code']}: {message['error_message']}", flush=True)
                    elif message["type"] == "response":
                        print(f"subscribed to {message['data']['channel']}", flush=True)
                    else:
                        if message["room"] in channels and "offset" in message:
                            positions[message["room"]] = {"epoch": message["epoch"],
                                                          "offset": message["offset"]}
                        print(f"{message['timestamp'][11:23]}  {message['room'] or ''}  "
                              f"{message['event']}  {json.dumps(message['data'])}", flush=True)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            print(f"not connected ({error}); reconnecting", flush=True)
        await asyncio.sleep(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = sys.argv[1:]
    if arguments[:1] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    asyncio.run(follow(arguments[0] if arguments else "ws://127.0.0.1:8690",
                       arguments[1:] or ["workflow:*"]))
