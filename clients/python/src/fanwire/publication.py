"""What a subscription brings: publications, the gaps between them, and states."""
import collections
import typing


class Position(typing.NamedTuple):
    """A place in a channel: after the event with this offset of this epoch."""

    epoch: str
    offset: int


class Subscribed(typing.NamedTuple):
    """What the server confirmed.

    position         where live events go on; None for a pattern
    was_recovering   whether the client asked for what it had missed
    recovered        whether all of that follows
    recovered_count  how many positions were missed
    reason           why not, such as "history_expired"
    """

    position: typing.Optional[Position]
    was_recovering: bool = False
    recovered: bool = False
    recovered_count: int = 0
    reason: str = ""


class Published(typing.NamedTuple):
    """What the server says of an event that this client has published.

    status    "published"; or "conflated": a newer event of this client took its place
    channel   where
    position  the event's; None if it skips history
    """

    status: str
    channel: str
    position: typing.Optional[Position] = None


class Member(typing.NamedTuple):
    """A connection that is subscribed to a channel by its name.

    user_id  None: it has no token
    info     a dict: what it says of itself, or its token says
    """

    connection_id: str
    user_id: typing.Optional[str]
    info: dict


class Publication:
    """An event of a channel.

    id, channel, event, data, timestamp   as in docs/protocol.md
    position                              a Position; None for an event that skips history
    publisher                             a dict with connection_id and user_id, if a client has
                                          published the event; else None
    """

    __slots__ = ("id", "channel", "event", "data", "timestamp", "position", "publisher")

    def __init__(self, message):
        self.id = message.get("id")
        self.channel = message.get("room")
        self.event = message.get("event")
        self.data = message.get("data")
        self.timestamp = message.get("timestamp")
        self.publisher = message.get("publisher")
        offset = message.get("offset")
        self.position = None if offset is None else Position(message.get("epoch"), offset)

    def message(self, service=""):
        """Returns the event as a message of fanwire.catalog; needs protobuf.

        service  narrows the search if several services have events of this name

        Raises ValueError if the catalog does not know the event, or its data does not fit.
        """
        from fanwire import catalog  # not every program has protobuf, or needs it
        return catalog.parse(self.event, self.data, service)

    def __repr__(self):
        return f"<Publication {self.channel} {self.event} {self.data!r}>"


class Gap:
    """Events that the subscription has missed and that will not come.

    channel   where; the pattern itself if events of any of its channels may be missing
    reason    "epoch_changed", "history_expired", "history_disabled", "offset_unknown", "pattern",
              or the reason of the server's `channel.skipped`
    first, last   the offsets that are missing, in the epoch of `position`; 0 if that is not known
    position  where the subscription goes on; None for a pattern
    event, data   "channel.skipped", and the above as a dict, so that code which prints every item
              shows a gap, too
    """

    __slots__ = ("channel", "reason", "first", "last", "position")
    event = "channel.skipped"

    def __init__(self, channel, reason, first=0, last=0, position=None):
        self.channel = channel
        self.reason = reason
        self.first = first
        self.last = last
        self.position = position

    @property
    def data(self):
        return {"channel": self.channel, "from": self.first, "to": self.last,
                "reason": self.reason}

    def __repr__(self):
        return f"<Gap {self.channel} {self.first} to {self.last}: {self.reason}>"


class ChannelState:
    """What a channel is about, such as a workflow, after all events up to `position`.

    Exactly the later events follow.

    channel   where
    state     what the channel's status request answers; None: the server has no state to give
    reason    why it has none: "too_large", "events_missed" or "unavailable"; else ""
    position  the Position that it contains
    event, data   "channel.state" and the state, so that code which prints every item shows it, too
    """

    __slots__ = ("channel", "state", "reason", "position")
    event = "channel.state"

    def __init__(self, channel, state, reason="", position=None):
        self.channel = channel
        self.state = state
        self.reason = reason
        self.position = position

    @property
    def data(self):
        return self.state

    def __repr__(self):
        return f"<ChannelState {self.channel} {self.reason or self.state!r}>"


class History(collections.abc.Sequence):
    """The answer to Client.history(): a sequence of Publications.

    position  the channel's last one; None if the channel has none
    more      whether there are more events than `limit`
    complete  whether all events after `since` are there, or were asked for
    reason    why not
    """

    def __init__(self, data):
        self._publications = [Publication(message) for message in data.get("events", ())]
        self.position = Position(data["epoch"], data["offset"]) if data.get("epoch") else None
        self.more = bool(data.get("more"))
        self.complete = data.get("complete", True)
        self.reason = data.get("reason", "")

    def __getitem__(self, index):
        return self._publications[index]

    def __len__(self):
        return len(self._publications)

    def __repr__(self):
        return f"<History {self._publications!r}, up to {self.position}>"


class Presence(collections.abc.Sequence):
    """The answer to Client.presence(): a sequence of Members.

    total  how many there are
    more   whether the sequence does not have all of them
    """

    def __init__(self, data):
        self._members = [Member(each["connection_id"], each.get("user_id"), each.get("info") or {})
                         for each in data.get("members", ())]
        self.total = data.get("total", len(self._members))
        self.more = bool(data.get("more"))

    def __getitem__(self, index):
        return self._members[index]

    def __len__(self):
        return len(self._members)

    def __repr__(self):
        return f"<Presence {self._members!r}, {self.total} in all>"
