"""A WebSocket client (the library `websockets`) against an app that echoes.

usage: websocket.py PORT CA_FILE
"""

import asyncio
import os
import ssl
import sys

import websockets

PORT, CA = int(sys.argv[1]), sys.argv[2]


async def talk(scheme, **more):
    url = f"{scheme}://demo.localhost:{PORT}/ws"
    # The name need not be known to the resolver.
    async with websockets.connect(url, host="127.0.0.1", port=PORT, max_size=None, **more) as socket:
        big = os.urandom(3_000_000)
        for message in ["hello", "", "\N{SNOWMAN}" * 50_000, b"", b"\x00\xff", big]:
            await socket.send(message)
            echo = await socket.recv()
            echo = echo if isinstance(message, bytes) else as_text(echo)
            assert echo == message, (message[:20], echo[:20])
        # One message in fragments.
        await socket.send(iter([b"a" * 1000, b"b", b"", b"c" * 70_000]))
        assert await socket.recv() == b"a" * 1000 + b"b" + b"c" * 70_000
        # Many at once, in order.
        numbers = [str(number) for number in range(500)]
        await asyncio.gather(*(socket.send(number) for number in numbers))
        assert [as_text(await socket.recv()) for _ in numbers] == numbers
        await (await socket.ping())
        await socket.close(1000, "enough")
    assert socket.close_code == 1000, socket.close_code


def as_text(message):
    return message if isinstance(message, str) else message.decode()


async def many():
    """A hundred clients beside each other."""
    await asyncio.gather(*(short() for _ in range(100)))


async def short():
    url = f"ws://demo.localhost:{PORT}/ws"
    async with websockets.connect(url, host="127.0.0.1", port=PORT) as socket:
        await socket.send("hi")
        assert as_text(await socket.recv()) == "hi"


asyncio.run(talk("ws"))
asyncio.run(talk("wss", ssl=ssl.create_default_context(cafile=CA)))
asyncio.run(many())
print("echoed")
