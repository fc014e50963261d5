import {Emitter} from './emitter.js';
import {Subscription} from './subscription.js';

const MAX_PAGE = 1000;  // events; the server's limit
// A pattern's feed remembers the last offset of this many channels.
const MAX_SEEN = 10_000;

const isPattern = (channel) => channel.split(':').some(
    (part, i, all) => part === '*' || (part === '**' && i === all.length - 1));

function matcher(pattern) {
  const parts = pattern.split(':');
  const open = parts[parts.length - 1] === '**';
  if (open) parts.pop();
  return (channel) => {
    const segments = channel.split(':');
    return (open ? segments.length > parts.length : segments.length === parts.length) &&
        parts.every((part, i) => part === '*' || part === segments[i]);
  };
}

/**
 * What the library keeps of a subscription: its events, gaps and states that wait for the
 * application's handlers, and the positions.
 *
 *   received   where a recovery begins: the last event that came without a gap before it
 *   position   the last event whose handlers have finished
 *
 * Phases: idle (to be subscribed), asked (the request is under way), live, slow (unsubscribed, with
 * pages of history as fast as the handlers work), ended.  Only a live feed takes events.
 *
 * `host` has subscribe(feed), unsubscribe(feed), history(data, done), ended(feed), report(error).
 */
export class Feed {
  phase = 'idle';
  error = null;  // why it ended
  refusals = 0;  // in a row
  retry = null;  // the timer after a refusal
  working = null;  // resolves when the handlers at work have finished
  wasLive = false;
  #host;
  #emitter;
  #filter;
  #info;
  #limits;
  #queue = [];  // {kind: 'event' | 'gap' | 'state', value, position, size}
  #queued = 0;  // the sum of the sizes
  #busy = false;  // a handler is at work
  #paging = false;  // a page of history is on its way
  #received = null;
  #last = 0;  // the offset of the last event that was taken
  #head = 0;  // what the confirmation promised to recover ends here: until then, jumps are no gaps
  #dropping = false;  // a pattern's events, until half of what waits is handled
  #seen = new Map();  // of a pattern: the last position of each channel

  constructor(host, channel, {events, recover, state, info, maxQueuedEvents, maxQueuedBytes}) {
    this.#host = host;
    this.channel = channel;
    this.pattern = isPattern(channel);
    this.matches = this.pattern ? matcher(channel) : (name) => name === channel;
    this.#filter = events?.length > 0 ? new Set(events) : null;
    this.#info = info;
    this.#limits = {events: maxQueuedEvents, bytes: maxQueuedBytes};
    this.wantsState = Boolean(state);
    if (state && this.pattern) {
      throw new TypeError(`"${channel}": a pattern has no state; only a channel by its name has`);
    }
    this.position = null;
    if (recover) {
      if (this.pattern) throw new TypeError(`"${channel}": patterns cannot be recovered`);
      this.position = this.#received = {epoch: recover.epoch, offset: recover.offset};
      this.#last = recover.offset;
    }
    this.#emitter = new Emitter(
        ['subscribing', 'subscribed', 'unsubscribed', 'event', 'gap', 'state'], host.report);
    this.subscription = new Subscription(this);
  }

  get state() {
    return {live: 'subscribed', ended: 'unsubscribed'}[this.phase] ?? 'subscribing';
  }

  on(name, handler) {
    const off = this.#emitter.on(name, handler);
    if (name === 'event' || name === 'state') queueMicrotask(() => this.#pump());
    return off;
  }

  listeners(name) {
    return this.#emitter.count(name);
  }

  // ------------------------------------------------------------------------------ subscribing

  /** What a subscribe message says of the channel. */
  entry() {
    this.phase = 'asked';
    return {
      channel: this.channel,
      ...(this.#filter && {events: [...this.#filter]}),
      ...(this.#received && {recover: this.#received}),
      ...(this.wantsState && {state: true}),
      ...(this.#info && {info: this.#info}),
    };
  }

  /** Takes the server's confirmation; `size` is the length of its text if it has a state. */
  confirm({epoch, offset, recovered = false, reason, state, state_reason: stateReason}, size) {
    const wasRecovering = this.#received !== null || (this.pattern && this.wasLive);
    this.phase = 'live';
    this.refusals = 0;
    this.wasLive = true;
    let loss = null;
    if (this.pattern) {
      if (wasRecovering) loss = {reason: 'pattern'};
    } else if (recovered) {
      this.#head = offset;
    } else if (epoch !== undefined) {
      const before = this.#received;
      this.#received = {epoch, offset};
      this.#last = this.#head = offset;
      if (before !== null) {
        loss = {reason, from: before.epoch === epoch ? before.offset + 1 : 1, to: offset};
      } else if (state === undefined) {
        this.position = this.#received;
      }
    }
    this.#emitter.emit('subscribed', {channel: this.channel, epoch: epoch ?? null,
      offset: offset ?? null, wasRecovering, recovered, reason: loss?.reason ?? null});
    // A state that still waits, and that nothing came after, is replaced.
    if (state !== undefined && this.#tail?.kind === 'state') this.#queued -= this.#queue.pop().size;
    if (loss) this.#gap(loss, this.#received);
    if (state === undefined) return;
    this.#add('state', {type: 'state', channel: this.channel, state, epoch: epoch ?? null,
      offset: offset ?? null, reason: stateReason ?? null}, this.#received, size);
  }

  /** Events are missing or the connection is lost: it must be subscribed again. */
  interrupt(reason) {
    if (this.phase === 'ended' || this.phase === 'slow') return;
    const was = this.phase;
    this.phase = 'idle';
    if (was === 'live') this.#emitter.emit('subscribing', {channel: this.channel, reason});
  }

  end(error, reason) {
    if (this.phase === 'ended') return;
    this.#host.unsubscribe(this);
    this.phase = 'ended';
    clearTimeout(this.retry);
    this.error = error ?? null;
    this.#queue = [];
    this.#queued = 0;
    this.#host.ended(this);
    this.#emitter.emit('unsubscribed', {channel: this.channel, reason, error: this.error});
  }

  // ------------------------------------------------------------------------------ events

  /** Takes an event of the channel; `size` is the length of its text. */
  event(message, size) {
    if (this.phase !== 'live' || (this.#filter && !this.#filter.has(message.event))) return;
    const {epoch, offset} = message;
    let position = null;
    if (Number.isInteger(offset)) {
      if (this.pattern) {
        if (this.#saw(message)) return;
      } else {
        this.#received ??= {epoch, offset: offset - 1};
        if (epoch !== this.#received.epoch) return this.#resume('epoch_changed');
        if (offset <= this.#last) return;
        const next = Math.max(this.#received.offset, this.#head) + 1;
        if (!this.#filter && offset > next) return this.#resume('gap');
        position = {epoch, offset: Math.max(offset, this.#received.offset)};
      }
    }
    if (!this.#hasRoom()) return;
    if (position) {
      this.#last = offset;
      this.#received = position;
    }
    this.#add('event', message, position, size);
  }

  /** Takes the server's notice that events of a channel will not come. */
  skipped({channel, from, to, reason, epoch}) {
    if (this.phase !== 'live' || !this.#hasRoom()) return;
    const loss = {channel, reason, from, to, epoch};
    if (this.pattern) return this.#gap(loss, null);
    const known = this.#received;
    if (epoch === undefined || epoch === known?.epoch) {
      if (known === null || to <= known.offset) return;
      this.#received = {epoch: known.epoch, offset: to};
    } else {
      this.#received = {epoch, offset: to};
      this.#last = this.#head = 0;
    }
    this.#gap(loss, this.#received);
  }

  /** Whether a pattern's event came before; remembers it. */
  #saw({room, epoch, offset}) {
    const last = this.#seen.get(room);
    if (last?.epoch === epoch && offset <= last.offset) return true;
    this.#seen.delete(room);
    if (this.#seen.size >= MAX_SEEN) this.#seen.delete(this.#seen.keys().next().value);
    this.#seen.set(room, {epoch, offset});
    return false;
  }

  /** Asks for the next page of history. */
  #page() {
    this.#paging = true;
    const limit = Math.min(MAX_PAGE, Math.ceil(this.#limits.events / 2));
    this.#host.history({channel: this.channel, limit, since: this.#received},
        (error, page = {}, length) => this.#onPage(page, length));
  }

  #onPage({events = [], more = false, complete = true}, length) {
    if (complete) {
      for (const message of events) this.#takeFromPage(message, length / events.length);
    }
    this.#paging = false;
    if (this.phase !== 'slow') return;
    if (complete && more && events.length > 0) return this.#catchUp();
    // Subscribing brings what is newer, and tells what history does not hold any more.
    this.phase = 'idle';
    this.#host.subscribe(this);
  }

  #takeFromPage(message, size) {
    const {event, epoch, offset} = message;
    const before = this.#received.offset;
    this.#last = offset;
    this.#received = {epoch, offset};
    if (this.#filter) {
      if (!this.#filter.has(event)) return;
    } else if (offset > before + 1) {
      const gap = {reason: 'expired', from: before + 1, to: offset - 1};
      this.#gap(gap, {epoch, offset: offset - 1});
    }
    this.#add('event', message, this.#received, size);
  }

  /** Subscribes again from what was received. */
  #resume(reason) {
    this.interrupt(reason);
    this.#host.subscribe(this);
  }

  /** Whether another item may wait.  If not, the feed stops taking events for a while. */
  #hasRoom() {
    if (this.#dropping) return false;
    if (this.#queue.length < this.#limits.events && this.#queued < this.#limits.bytes) return true;
    if (this.pattern) {
      this.#dropping = true;
      this.#gap({reason: 'slow_handler'}, null);
    } else {
      this.#host.unsubscribe(this);
      this.interrupt('slow_handler');
      this.phase = 'slow';
    }
    return false;
  }

  #gap({channel = this.channel, reason, from = 0, to = 0, epoch}, position) {
    const missing = to > 0 && from <= to;
    const gap = {channel, reason, from: missing ? from : null, to: missing ? to : null,
      epoch: epoch ?? position?.epoch ?? null};
    const last = this.#tail;
    if (last?.kind === 'gap' && last.value.channel === channel) {
      // Nothing came between them: one loss.
      if (last.value.epoch === gap.epoch) gap.from = last.value.from ?? gap.from;
      Object.assign(last, {value: gap, position});
      return;
    }
    this.#add('gap', gap, position, 0);
  }

  #add(kind, value, position, size) {
    if (this.phase === 'ended') return;
    this.#queue.push({kind, value, position, size});
    this.#queued += size;
    this.#pump();
  }

  get #tail() {
    return this.#queue[this.#queue.length - 1];
  }

  /** Hands over what waits, one item after the other. */
  #pump() {
    while (!this.#busy && this.#queue.length > 0 && (this.listeners('event') > 0 ||
        (this.#queue[0].kind === 'state' && this.listeners('state') > 0))) {
      const item = this.#queue.shift();
      this.#queued -= item.size;
      this.#busy = true;
      const pending = this.#emitter.emit(item.kind, item.value);
      if (pending) {
        this.working = pending.then(() => {
          this.#done(item);
          this.#pump();
        });
        return;
      }
      this.#done(item);
    }
  }

  #done({position}) {
    this.#busy = false;
    if (position) this.position = position;
    this.#catchUp();
  }

  /** Goes on if no more than half of what may wait does. */
  #catchUp() {
    const {events, bytes} = this.#limits;
    if (this.#queue.length > events / 2 || this.#queued > bytes / 2) return;
    this.#dropping = false;
    if (this.phase === 'slow' && !this.#paging) this.#page();
  }
}
