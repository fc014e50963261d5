// A server of the common protocol in the test's own process, and the WebSocket class to reach it.

const text = (value) => JSON.stringify(value);
const envelope = (keys) => ({
  id: 'server', correlation_id: null, type: 'event', event: null, data: {},
  timestamp: new Date(Date.now()).toISOString(), room: null, error_code: null, error_message: null,
  ...keys,
});

const matches = (name, channel) => new RegExp(`^${name.split(':').map(
    (part) => ({'*': '[^:]*', '**': '.*'})[part] ?? part).join(':')}$`).test(channel);

/**
 * Switches, all of them for what happens later:
 *   reachable       connections are opened
 *   delay           ms until a message of the server arrives
 *   welcomes        the server says welcome
 *   demandsToken    it is silent until it gets a token
 *   token(t)        whether the token is good
 *   answers         requests are answered; else they wait in `held` for answer()
 *   refuses         a map of channel to error code
 *   limits          of the welcome
 *   states          a map of channel to its state, or to {reason} for none; else it is {n: offset}
 */
export class FakeServer {
  reachable = true;
  delay = 0;
  welcomes = true;
  demandsToken = false;
  token = () => true;
  answers = true;
  refuses = new Map();
  states = new Map();
  limits = {max_message_bytes: 1 << 20, max_channels: 1000};
  sockets = [];  // every one that was ever made
  channels = new Map();  // by name: {epoch, offset, history}
  historySize = 1000;

  constructor() {
    const server = this;
    this.WebSocket = class {
      constructor(url) {
        return new FakeSocket(server, url);
      }
    };
  }

  /** The newest connection. */
  get socket() {
    return this.sockets[this.sockets.length - 1];
  }

  channel(name) {
    if (!this.channels.has(name)) {
      this.channels.set(name, {epoch: 'e1', offset: 0, history: []});
    }
    return this.channels.get(name);
  }

  /** Publishes events whose data is {n: offset}. */
  publish(name, count = 1, event = 'test.event', keys = {}) {
    const channel = this.channel(name);
    for (let i = 0; i < count; ++i) {
      const offset = ++channel.offset;
      const message = envelope({event, data: {n: offset, ...keys}, room: name, offset,
        epoch: channel.epoch});
      channel.history.push(message);
      if (channel.history.length > this.historySize) channel.history.shift();
      for (const socket of this.sockets) socket.publish(message);
    }
  }

  /** The channel forgets everything. */
  restart(name) {
    const channel = this.channel(name);
    const epoch = `e${Number(channel.epoch.slice(1)) + 1}`;
    Object.assign(channel, {epoch, offset: 0, history: []});
  }

  history({channel: name, limit = 1000, since}) {
    const {epoch, offset, history} = this.channel(name);
    const kept = history.length > 0 ? history[0].offset : offset + 1;
    const result = {channel: name, epoch, offset};
    if (since && (since.epoch !== epoch || since.offset + 1 < kept)) {
      const reason = since.epoch !== epoch ? 'epoch_changed' : 'history_expired';
      return {...result, events: history.slice(0, limit), complete: false, reason};
    }
    const events = history.filter((one) => one.offset > (since?.offset ?? 0));
    return {...result, events: events.slice(0, limit), ...(events.length > limit && {more: true})};
  }

  subscribe(socket, {channel: name, events, recover, state}) {
    if (this.refuses.has(name)) {
      const code = this.refuses.get(name);
      return {channel: name, error_code: code, error_message: `no ${name}`};
    }
    socket.subscriptions.set(name, events ?? []);
    if (name.includes('*')) return {status: 'subscribed', channel: name};
    const {epoch, offset, history} = this.channel(name);
    const result = {status: 'subscribed', channel: name, epoch, offset};
    const withState = (more) => ({...result, ...more, ...(state && this.#stateOf(name, offset))});
    if (!recover) return withState({});
    const kept = history.length > 0 ? history[0].offset : offset + 1;
    const reason = recover.epoch !== epoch ? 'epoch_changed' :
        recover.offset + 1 < kept ? 'history_expired' : null;
    if (reason) return withState({recovered: false, recovered_count: 0, reason});
    socket.recovered.push(...history.filter((one) => one.offset > recover.offset &&
        (!events?.length || events.includes(one.event))));
    return {...result, recovered: true, recovered_count: offset - recover.offset};
  }

  #stateOf(name, offset) {
    const {reason, ...state} = this.states.get(name) ?? {n: offset};
    return reason ? {state: null, state_reason: reason} : {state, state_offset: offset};
  }
}

class FakeSocket {
  readyState = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  sent = [];  // what the client sent, parsed
  held = [];  // requests that wait for an answer
  subscriptions = new Map();  // name: the events
  recovered = [];  // goes behind the next answer
  closedWith = null;  // the code of the client's close
  welcomed = false;
  #server;

  constructor(server, url) {
    this.#server = server;
    this.url = url;
    server.sockets.push(this);
    setTimeout(() => server.reachable ? this.#open() : this.#fail(), server.delay);
  }

  #open() {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.onopen?.({});
    if (!this.#server.demandsToken) this.welcome();
  }

  #fail() {
    this.onerror?.({message: 'unreachable'});
    this.drop(1006, '');
  }

  welcome(authenticated = false) {
    if (!this.#server.welcomes) return;
    this.welcomed = true;
    this.deliver({event: 'session.created', data: {connection_id: `c${this.#server.sockets.length}`,
      server: 'fake', authenticated, limits: this.#server.limits}});
  }

  /** Sends keys of an envelope, or a text, to the client. */
  deliver(keys) {
    const message = typeof keys === 'string' ? keys : text(envelope(keys));
    const arrive = () => {
      if (this.readyState === 1) this.onmessage?.({data: message});
    };
    if (this.#server.delay > 0) setTimeout(arrive, this.#server.delay); else arrive();
  }

  notice(event, data, keys = {}) {
    this.deliver({event, data, room: data.channel ?? null, ...keys});
  }

  /** The server closes, or the link is gone (1006). */
  drop(code = 1006, reason = '') {
    this.readyState = 3;
    this.subscriptions.clear();
    this.onclose?.({code, reason});
  }

  publish(message) {
    if (this.readyState !== 1) return;
    const wanted = [...this.subscriptions].some(([name, events]) =>
      matches(name, message.room) && (events.length === 0 || events.includes(message.event)));
    if (wanted) this.deliver(message);
  }

  // ---- the client's side

  send(data) {
    if (this.readyState !== 1) throw new Error('not open');
    const message = JSON.parse(data);
    this.sent.push(message);
    if (this.#server.answers) this.answer(message); else this.held.push(message);
  }

  close(code) {
    this.closedWith = code;
    this.readyState = 3;
    this.subscriptions.clear();
  }

  // ---- answers

  /** Answers what is held, in this order of its places. */
  release(...order) {
    const held = this.held.splice(0);
    for (const place of order.length > 0 ? order : held.keys()) this.answer(held[place]);
  }

  respond(request, data) {
    this.deliver({type: 'response', event: request.event, data, correlation_id: request.id});
    for (const message of this.recovered.splice(0)) this.deliver(message);
  }

  refuse(request, code, message = code, correlation = request.id) {
    this.deliver({type: 'error', correlation_id: correlation, error_code: code,
      error_message: message});
  }

  subscribe(request) {
    const {data} = request;
    const results = (data.channels ?? [data]).map((one) => this.#server.subscribe(this, one));
    if (data.channels) {
      // The real server refuses such an entry.
      if (data.channels.some(({state}) => state)) throw new Error('state among channels');
      return this.respond(request, {results});
    }
    const [{error_code: code, error_message: message}] = results;
    if (code) return this.refuse(request, code, message);
    this.respond(request, results[0]);
  }

  answer(request) {
    const {type, event, data} = request;
    if (!this.welcomed && this.#server.demandsToken && event !== 'auth') {
      this.refuse(request, 'AUTH_REQUIRED', 'Authentication required', null);
      return this.drop(1008, 'Authentication required');
    }
    if (type === 'ping') return this.deliver({type: 'pong', correlation_id: request.id});
    switch (event) {
      case 'auth':
        if (!this.#server.token(data.token)) {
          this.refuse(request, 'AUTH_FAILED', 'Invalid or expired token');
          if (!this.welcomed) this.drop(1008, 'Authentication failed');
          return;
        }
        this.respond(request, {status: 'authenticated', user_id: 'ana'});
        if (!this.welcomed) this.welcome(true);
        return;
      case 'subscribe':
        return this.subscribe(request);
      case 'unsubscribe':
        for (const name of data.channels) this.subscriptions.delete(name);
        return this.respond(request, {results: data.channels.map(
            (channel) => ({status: 'unsubscribed', channel}))});
      case 'history':
        return this.respond(request, this.#server.history(data));
      case 'refresh_token':
        if (!this.#server.token(data.token)) {
          return this.refuse(request, 'AUTH_FAILED', 'Invalid or expired token');
        }
        return this.respond(request, {status: 'refreshed', user_id: 'ana'});
      case 'unknown':
        return this.refuse(request, 'UNKNOWN_REQUEST', 'Unknown request event: unknown');
      default:
        return this.respond(request, {asked: event, ...data});
    }
  }
}
