"""What has come of a channel, and what follows from it for the next message.

Threading: one event loop.
Cost:      a few comparisons for each event; for patterns a dict entry for each channel.
"""
import collections
import enum

from fanwire.publication import Gap, Position


class Verdict(enum.Enum):
    TAKE = 1    # hand it to the application
    DROP = 2    # the application has it already
    REPAIR = 3  # events before it are missing: subscribe again from `position`


class ChannelTrack:
    """One channel by its exact name.

    position  where to recover from; None before the first confirmation
    """

    def __init__(self, position, filtered):
        self.position = position
        self._filtered = filtered
        self._delivered = position.offset if position else 0
        # Up to here the server has said that everything comes that there is, which need not be
        # every offset: publishers may exclude this connection from some events.
        self._covered = 0

    def on_confirmed(self, channel, subscribed):
        """Returns the Gap if events are lost."""
        before, now = self.position, subscribed.position
        if now is None:  # a channel of which the worker does not know a position yet
            return None
        if subscribed.recovered:
            self._covered = now.offset
            return None
        self.position = now
        self._delivered = self._covered = now.offset
        if not subscribed.was_recovering:
            return None
        first = before.offset + 1 if before.epoch == now.epoch else 1
        last = now.offset
        if first > last:
            first = last = 0
        return Gap(channel, subscribed.reason, first, last, now)

    def on_event(self, position):
        if self.position is None:
            self.position = Position(position.epoch, position.offset - 1)
        if position.epoch != self.position.epoch:
            return Verdict.REPAIR  # nobody has told of another epoch
        if position.offset <= self._delivered:
            return Verdict.DROP
        if (not self._filtered
                and position.offset > max(self.position.offset, self._covered) + 1):
            return Verdict.REPAIR
        self._delivered = position.offset
        # With the policy `latest`, an event may follow a notice whose range it lies in.
        if position.offset > self.position.offset:
            self.position = position
        return Verdict.TAKE

    def on_skipped(self, data):
        """Returns the Gap, or None if the notice says nothing new."""
        first, last = data.get("from", 0), data.get("to", 0)
        epoch = data.get("epoch") or (self.position.epoch if self.position else "")
        if self.position is None or epoch != self.position.epoch:
            self._delivered = max(0, first - 1)
            self._covered = 0
        elif last <= self.position.offset:
            return None
        self.position = Position(epoch, last)
        return Gap(data.get("channel"), data.get("reason", ""), first, last, self.position)


class PatternTrack:
    """The channels that match a pattern.

    Recovery is for channels by name.  But if one client subscribes to a channel by its name as well
    and recovers that, events may come again that the pattern has brought before.
    """

    MAX_CHANNELS = 10_000  # the least recently used one is forgotten

    position = None

    def __init__(self):
        self._delivered = collections.OrderedDict()  # channel -> Position

    def on_event(self, channel, position):
        before = self._delivered.get(channel)
        if before is not None and before.epoch == position.epoch and (
                position.offset <= before.offset):
            return Verdict.DROP
        self._delivered[channel] = position
        self._delivered.move_to_end(channel)
        if len(self._delivered) > self.MAX_CHANNELS:
            self._delivered.popitem(last=False)
        return Verdict.TAKE
