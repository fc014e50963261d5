#!/usr/bin/python3
"""Subscribes to channels of a Fanwire service and prints each event.

  deploy/client.py [URL [CHANNEL...]]

URL is the address of a service's port, by default mahavishnu's.  CHANNEL is a channel or a
pattern, by default "workflow:*".  After a lost connection the client reconnects and recovers the
events that it missed.
"""
import asyncio
import json
import os
import select
import signal
import sys
import threading

import websockets


def say(line):
    """Prints a line, in which characters that control a terminal or reorder its text are escaped.

    Ends the program if that fails: without a word if the reader went away.
    """
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    try:
        print(line, flush=True)
    except OSError as error:
        # Ends at once: an orderly end would first wait for the server, and write the line again.
        if not isinstance(error, BrokenPipeError):
            os.write(2, f"cannot write the output: {error.strerror}\n".encode())
        os._exit(0 if isinstance(error, BrokenPipeError) else 1)


def end_with_reader():
    """Ends the program when the reader of its output goes away, even if no event comes."""
    watch = select.poll()
    watch.register(1, 0)  # only errors: the other end of a pipe is closed
    watch.poll()
    os._exit(0)


async def follow(url, channels):
    positions = {}  # channel -> last epoch and offset; only for exact names, not for patterns
    while True:
        try:
            async with websockets.connect(url) as socket:
                welcome = json.loads(await socket.recv())
                say(f"connected to {url} as {welcome['data']['connection_id']}")
                for channel in channels:
                    data = {"channel": channel}
                    if channel in positions:
                        data["recover"] = positions[channel]
                    await socket.send(json.dumps(
                        {"type": "request", "id": channel, "event": "subscribe", "data": data}))
                async for text in socket:
                    message = json.loads(text)
                    if message["type"] == "error":
                        say(f"{message['error_code']}: {message['error_message']}")
                    elif message["type"] == "response":
                        say(f"subscribed to {message['data']['channel']}")
                    else:
                        if message["room"] in channels and "offset" in message:
                            positions[message["room"]] = {"epoch": message["epoch"],
                                                          "offset": message["offset"]}
                        say(f"{message['timestamp'][11:23]}  {message['room'] or ''}  "
                            f"{message['event']}  {json.dumps(message['data'])}")
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            say(f"not connected ({error}); reconnecting")
        await asyncio.sleep(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.stdout is None:
        sys.exit("standard output is closed")
    arguments = sys.argv[1:]
    if arguments[:1] in (["-h"], ["--help"]):
        for line in __doc__.strip().splitlines():
            say(line)
        sys.exit()
    threading.Thread(target=end_with_reader, daemon=True).start()
    asyncio.run(follow(arguments[0] if arguments else "ws://127.0.0.1:8690",
                       arguments[1:] or ["workflow:*"]))
