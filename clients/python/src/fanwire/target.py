"""Where control is, and what a publisher shows to it."""
import ipaddress
import os
import stat

import grpc

CONTROL_PORT = 8701

# Control is on the internal network, so a web proxy of the environment does not apply.  It accepts
# a ping every 5 s.  A publisher makes a channel for each connection and waits between them itself.
CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # how long connecting may take
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", -1),
)


# gRPC's threads are not copied by a fork: where it has connected before, the child's connections
# hang.
_has_connected = False
_inherited = False
FORKED = ("this process was forked from one that had connected already, which gRPC does not "
          "support: connect after the fork only, or start processes by `spawn`")


def _after_fork():
    global _inherited
    _inherited = _has_connected


os.register_at_fork(after_in_child=_after_fork)


def fork_hint():
    """Returns why connections hang in this process; "" if nothing is known."""
    return FORKED if _inherited else ""


class Target:
    """Opens connections to control.  The arguments are those of fanwire.publisher.Publisher."""

    def __init__(self, target=None, token=None, metadata=None, credentials=None):
        self._target = target
        self._metadata = metadata
        self._credentials = credentials
        self._token = token if token is not None else os.environ.get("FANWIRE_TOKEN") or None
        self.address()  # a wrong one is refused now

    def address(self):
        """Returns the address of control in gRPC's form: "unix:/run/…" or "host:port"."""
        address = _with_port(self._target or os.environ.get("FANWIRE_SERVER") or
                             _local_socket() or f"127.0.0.1:{CONTROL_PORT}")
        if self._token and self._credentials is None and not _is_local(address):
            raise ValueError(f"the token would travel in the clear to {address}: give "
                             "credentials=grpc.ssl_channel_credentials()")
        return address

    def open(self):
        """Returns (address, a grpc.Channel to it)."""
        global _has_connected
        _has_connected = True
        address = self.address()
        if self._credentials is None:
            return address, grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        return address, grpc.secure_channel(address, self._credentials, options=CHANNEL_OPTIONS)

    def metadata(self):
        """Returns what the next call sends: asks the functions for a token and for metadata."""
        metadata = self._metadata() if callable(self._metadata) else self._metadata
        found = list(metadata.items() if hasattr(metadata, "items") else metadata or ())
        token = self._token() if callable(self._token) else self._token
        if token:
            found.append(("authorization", f"Bearer {token}"))
        return found


def _with_port(address):
    if address.startswith("unix:"):
        return address
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, CONTROL_PORT
    elif ":" in host and not host.startswith("["):
        raise ValueError(f"target {address!r}: an IPv6 host is written in brackets, "
                         f"as in [{address}]:{CONTROL_PORT}")
    elif not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"target {address!r}: expected HOST:PORT or unix:PATH")
    if not host:
        raise ValueError(f"target {address!r}: no host; expected HOST:PORT or unix:PATH")
    return f"{host}:{port}"


def _is_local(address):
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _local_socket():
    """The socket of a control that this user or systemd started, as wsctl looks for it."""
    runtime, session = os.environ.get("RUNTIME_DIRECTORY"), os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        first = f"{runtime}/control.sock"
    elif session:
        first = f"{session}/fanwire/control.sock"
    else:
        first = f"/tmp/fanwire-{os.geteuid()}/control.sock"
    for path in (first, "/run/fanwire/control.sock"):
        try:
            found = os.stat(path)
        except OSError:
            continue
        # In /tmp anybody could have made it.
        ours = found.st_uid in (os.geteuid(), 0) or not path.startswith("/tmp/")
        if stat.S_ISSOCK(found.st_mode) and ours:
            return f"unix:{path}"
    return None
