"""A WebSocket client that sends any bytes that a test wants, and may stop reading."""
import json
import os
import socket
import struct

from .server import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def close_payload(code, reason=b""):
    return struct.pack(">H", code) + reason


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, length=None, length_form=None):
    """Returns the bytes of one frame.

    `length` replaces the true length of the payload; `length_form` 16 or 64 forces a longer form.
    """
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if length_form == 64 or (length_form is None and size > 0xFFFF):
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    elif length_form == 16 or size > 125:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | size])
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class RawClient:
    """One blocking TCP connection.  Its timeout only catches hangs."""

    def __init__(self, port, handshake=True, receive_buffer=None, path="/", headers=()):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""
        if handshake:
            self.handshake(port, path, headers)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def handshake(self, port, path="/", headers=()):
        self.socket.sendall("\r\n".join([
            f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13", *headers, "", ""]).encode())
        head = self.http_head()
        assert head.startswith("HTTP/1.1 101 "), head
        assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head

    def http_head(self):
        """Reads status line and headers of an HTTP answer; bytes after them stay in the buffer."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head.decode()

    def http(self, request):
        """Sends a plain HTTP request; returns (status, headers' text, body)."""
        self.socket.sendall(request if isinstance(request, bytes) else request.encode())
        head = self.http_head()
        length = 0
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(head.split(" ")[1]), head, body.decode()

    def _more(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self.buffer += chunk

    def send_frame(self, opcode, payload=b"", **options):
        self.socket.sendall(frame(opcode, payload, **options))

    def send_json(self, message):
        self.send_frame(TEXT, json.dumps(message).encode())

    def recv_frame(self):
        """Returns (opcode, payload) of the next frame, which must be unfragmented and unmasked."""
        while len(self.buffer) < 2:
            self._more()
        first, second = self.buffer[0], self.buffer[1]
        assert first & 0x80, "a fragment from the server"
        assert not first & 0x70, "reserved bits from the server"
        assert not second & 0x80, "a masked frame from the server"
        size, at = second & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            while len(self.buffer) < 2 + width:
                self._more()
            size, at = int.from_bytes(self.buffer[2:2 + width], "big"), 2 + width
        while len(self.buffer) < at + size:
            self._more()
        payload, self.buffer = self.buffer[at:at + size], self.buffer[at + size:]
        return first & 0x0F, payload

    def recv_json(self):
        """Returns the next text frame, parsed.  Answers pings."""
        while True:
            opcode, payload = self.recv_frame()
            if opcode == PING:
                self.send_frame(PONG, payload)
            elif opcode == TEXT:
                return json.loads(payload)
            else:
                raise AssertionError(f"opcode {opcode}: {payload!r}")

    def recv_close(self):
        """Skips to the close frame; returns (code, reason), or None if there is none."""
        try:
            while True:
                opcode, payload = self.recv_frame()
                if opcode == CLOSE:
                    if not payload:
                        return 1005, ""
                    return int.from_bytes(payload[:2], "big"), payload[2:].decode()
        except ConnectionError:
            return None

    def at_end(self):
        """Reads until the server closes the TCP connection; returns whether it did."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True
