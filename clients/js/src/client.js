import {Connection} from './connection.js';
import {Emitter} from './emitter.js';
import {FanwireError, isFinal, isTemporary, limited} from './errors.js';
import {Feed} from './feed.js';

const DEFAULTS = {
  minReconnectDelay: 500,
  maxReconnectDelay: 20_000,
  timeout: 10_000,
  pingInterval: 25_000,
  maxQueuedEvents: 1000,
  maxQueuedBytes: 8 << 20,
};
const RESERVED = ['auth', 'refresh_token', 'subscribe', 'unsubscribe'];
const MAX_CHANNELS_PER_MESSAGE = 10_000;
const MAX_AUTH_REFUSALS = 3;  // in a row
const REFRESH_PAUSE = 5000;  // between two calls of getToken for one connection

function checkOptions(options, known) {
  for (const [name, value] of Object.entries(options)) {
    if (!known.includes(name)) {
      throw new TypeError(`no option "${name}"; there are ${known.join(', ')}`);
    }
    const least = name === 'pingInterval' ? 0 : 1;
    if (name in DEFAULTS && value !== undefined && !(value >= least && value < 2 ** 31)) {
      throw new RangeError(`${name}: ${value} is not a number from ${least} to ${2 ** 31 - 1}`);
    }
  }
}

const defined = (options) =>
    Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Connects, keeps connected, and has all subscriptions on its one WebSocket. */
export class Client {
  #url;
  #options;
  #WebSocket;
  #getToken;
  #emitter = new Emitter(['connecting', 'connected', 'disconnected', 'error'],
      (error) => this.#report(error));
  #state = 'disconnected';
  #connection = null;  // opening or open
  #opening = null;  // the attempt that is under way: an outdated one does nothing more
  #timer = null;  // until the next attempt
  #attempts = 0;
  #upSince = null;
  #drain = null;  // [min, max] ms, of server.draining
  #authRefusals = 0;
  #tokenAt = 0;  // when getToken was called last
  #refreshTimer = null;
  #waiting = [];  // {resolve, reject} of those who wait for the connection
  #feeds = new Map();  // by channel
  #patterns = new Set();  // the feeds of patterns
  #wanted = new Set();  // feeds to subscribe with the next flush
  #unwanted = new Set();  // channels to unsubscribe before them
  #flushing = false;
  #host = {
    subscribe: (feed) => this.#want(feed),
    unsubscribe: (feed) => {
      this.#wanted.delete(feed);
      if (feed.phase !== 'asked' && feed.phase !== 'live') return;
      this.#unwanted.add(feed.channel);
      this.#schedule();
    },
    history: (data, done) => {
      if (this.#state === 'connected') return this.#connection.ask('history', data, done);
      done(new FanwireError('DISCONNECTED', 'disconnected'));
    },
    ended: (feed) => {
      if (this.#feeds.get(feed.channel) === feed) this.#feeds.delete(feed.channel);
      this.#patterns.delete(feed);
    },
    report: (error) => this.#report(error),
  };

  constructor(url, options = {}) {
    if (!/^wss?:\/\//.test(url)) throw new TypeError(`"${url}" is no ws:// or wss:// URL`);
    checkOptions(options, ['getToken', 'WebSocket', ...Object.keys(DEFAULTS)]);
    this.#url = String(url);
    this.#options = {...DEFAULTS, ...defined(options)};
    this.#getToken = options.getToken;
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!this.#WebSocket) {
      throw new TypeError('there is no global WebSocket: give the one of the package ws, ' +
          'new Client(url, {WebSocket})');
    }
  }

  get url() {
    return this.#url;
  }

  get state() {
    return this.#state;
  }

  on(name, handler) {
    return this.#emitter.on(name, handler);
  }

  // ------------------------------------------------------------------------------ application

  connect() {
    if (this.#state !== 'disconnected') return;
    this.#attempts = this.#authRefusals = 0;
    globalThis.document?.addEventListener('visibilitychange', this.#wake);
    globalThis.addEventListener?.('online', this.#wake);
    this.#open();
    this.#setState('connecting', {attempt: 0, delay: 0, code: null, reason: null});
  }

  disconnect() {
    if (this.#state !== 'disconnected') this.#stop(1000, 'disconnect() was called', null);
  }

  ready() {
    this.connect();
    return new Promise((resolve, reject) => {
      if (this.#state === 'connected') return resolve();
      // A handler may have called disconnect().
      if (this.#state === 'disconnected') {
        return reject(new FanwireError('DISCONNECTED', 'disconnected'));
      }
      this.#waiting.push({resolve, reject});
    });
  }

  subscribe(channel, options = {}) {
    if (typeof channel !== 'string' || channel === '') {
      throw new TypeError('the channel is no text, or empty');
    }
    checkOptions(options,
        ['events', 'recover', 'state', 'info', 'signal', 'maxQueuedEvents', 'maxQueuedBytes']);
    if (this.#feeds.has(channel)) {
      throw new Error(`there is a subscription to "${channel}" already: use ` +
          'getSubscription(), or unsubscribe() it first');
    }
    const {signal} = options;
    const feed = new Feed(this.#host, channel, {...this.#options, ...defined(options)});
    this.#feeds.set(channel, feed);
    if (feed.pattern) this.#patterns.add(feed);
    if (signal) {
      const abort = () => feed.end(null, 'aborted');
      if (signal.aborted) {
        abort();
        return feed.subscription;
      }
      signal.addEventListener('abort', abort);
      feed.on('unsubscribed', () => signal.removeEventListener('abort', abort));
    }
    this.#want(feed);
    this.connect();
    return feed.subscription;
  }

  getSubscription(channel) {
    return this.#feeds.get(channel)?.subscription;
  }

  async request(name, data = {}, {signal, timeout = this.#options.timeout} = {}) {
    if (RESERVED.includes(name)) throw new TypeError(`the library itself sends "${name}"`);
    signal?.throwIfAborted();
    let forget = () => {};
    let over = false;
    const answer = async () => {
      while (this.#state !== 'connected' && !over) await this.ready();
      if (over) return undefined;
      return new Promise((resolve, reject) => {
        forget = this.#connection.ask(name, data,
            (error, result) => error ? reject(error) : resolve(result));
      });
    };
    try {
      return await limited(answer(), timeout, name, signal);
    } finally {
      over = true;
      forget();
    }
  }

  history(channel, {limit, since, reverse, ...options} = {}) {
    return this.request('history', defined({channel, limit, since, reverse}), options);
  }

  presence(channel, options) {
    return this.request('presence', {channel}, options);
  }

  publish(channel, event, data = {}, {echo, ...options} = {}) {
    return this.request('publish', defined({channel, event, data, echo}), options);
  }

  // ------------------------------------------------------------------------------ connection

  #setState(state, info) {
    this.#state = state;
    this.#emitter.emit(state, info);
  }

  #report(error) {
    if (this.#emitter.count('error') === 0) return console.error(error);
    this.#emitter.emit('error', error);
  }

  async #token() {
    if (!this.#getToken) return null;
    this.#tokenAt = Date.now();
    const token = (async () => this.#getToken())();
    return limited(token, this.#options.timeout, 'getToken');
  }

  async #open() {
    this.#timer = null;
    const attempt = this.#opening = {};
    try {
      const token = await this.#token();
      if (this.#opening !== attempt) return;
      this.#connection = new Connection(this.#WebSocket, this.#url, token, this.#options, {
        up: (welcome) => this.#onUp(welcome),
        event: (message, length) => this.#onEvent(message, length),
        down: (info) => this.#onDown(info),
        error: (error) => this.#report(error),
      });
    } catch (error) {
      if (this.#opening !== attempt) return;
      this.#retry(null, error.message);
      this.#report(error);
    }
  }

  #onUp(welcome) {
    this.#upSince = Date.now();
    this.#authRefusals = 0;
    for (const feed of this.#feeds.values()) if (feed.phase === 'idle') this.#want(feed);
    this.#setState('connected', welcome);
    if (this.#state !== 'connected') return;  // a handler called disconnect()
    this.#schedule();
    for (const {resolve} of this.#waiting.splice(0)) resolve();
  }

  #onDown({code, reason, error, refused}) {
    this.#connection = this.#opening = null;
    clearTimeout(this.#refreshTimer);
    this.#unwanted.clear();
    if (refused) ++this.#authRefusals;
    const helpless = !this.#getToken || this.#authRefusals >= MAX_AUTH_REFUSALS;
    if (isFinal(code) || (refused && helpless)) {
      return this.#stop(code, reason, error);
    }
    if (this.#upSince !== null && Date.now() - this.#upSince > this.#longest()) this.#attempts = 0;
    this.#upSince = null;
    this.#retry(code, error.message);
    for (const feed of [...this.#feeds.values()]) feed.interrupt('connection_lost');
  }

  /** The longest wait before the next attempt. */
  #longest() {
    const {minReconnectDelay, maxReconnectDelay} = this.#options;
    return Math.min(maxReconnectDelay, minReconnectDelay * 2 ** this.#attempts);
  }

  #retry(code, reason) {
    const [least, most] = this.#drain ?? [0, this.#longest()];
    const delay = least + Math.random() * (most - least);
    ++this.#attempts;
    this.#timer = setTimeout(() => {
      this.#drain = null;
      this.#open();
    }, delay);
    this.#setState('connecting', {attempt: this.#attempts, delay, code, reason});
  }

  #stop(code, reason, error) {
    const connection = this.#connection;
    this.#connection = this.#opening = this.#upSince = this.#drain = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#refreshTimer);
    this.#timer = null;
    globalThis.document?.removeEventListener('visibilitychange', this.#wake);
    globalThis.removeEventListener?.('online', this.#wake);
    connection?.close();
    this.#wanted.clear();
    this.#state = 'disconnected';
    for (const feed of [...this.#feeds.values()]) feed.end(error, 'disconnected');
    this.#unwanted.clear();
    const why = error ?? new FanwireError('DISCONNECTED', reason);
    for (const {reject} of this.#waiting.splice(0)) reject(why);
    this.#emitter.emit('disconnected', {code, reason, error});
  }

  /** The page is visible or the network back: a machine that slept may have lost the connection. */
  #wake = () => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.#state === 'connected') {
      this.#connection.probe();
    } else if (this.#timer !== null && !this.#drain) {
      clearTimeout(this.#timer);
      this.#open();
    }
  };

  // ------------------------------------------------------------------------------ token

  #onExpiring({data, timestamp}) {
    if (!this.#getToken) return;
    // By the server's clock alone.
    const left = Date.parse(data.expires_at) - Date.parse(timestamp);
    // A token that is short-lived, or was not renewed, must not make a loop of this.
    const pause = Date.now() - this.#tokenAt < REFRESH_PAUSE ? Math.max(1000, left / 2) : 0;
    if (pause > 0 && pause >= left) return;  // the close at the expiry follows
    this.#refreshLater(pause);
  }

  #refreshLater(pause) {
    clearTimeout(this.#refreshTimer);
    this.#refreshTimer = setTimeout(() => this.#refresh(this.#connection), pause);
  }

  async #refresh(connection) {
    try {
      const token = await this.#token();
      if (connection !== this.#connection) return;
      await new Promise((resolve, reject) => connection.ask('refresh_token', {token},
          (error) => error ? reject(error) : resolve()));
    } catch (error) {
      if (connection !== this.#connection) return;
      this.#refreshLater(REFRESH_PAUSE);
      this.#report(error);
    }
  }

  // ------------------------------------------------------------------------------ subscriptions

  #want(feed) {
    this.#wanted.add(feed);
    this.#schedule();
  }

  /** Sends soon what was wanted until then: many subscriptions go in one message. */
  #schedule() {
    if (this.#flushing || this.#state !== 'connected') return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#state === 'connected') this.#flush();
    });
  }

  #flush() {
    const connection = this.#connection;
    for (const {entries} of this.#messages([...this.#unwanted], (channel) => channel)) {
      connection.ask('unsubscribe', {channels: entries}, () => {});
    }
    this.#unwanted.clear();
    const together = [];
    for (const feed of this.#wanted) {
      if (!feed.wantsState) {
        together.push(feed);
        continue;
      }
      // The server takes such a channel alone.
      connection.ask('subscribe', feed.entry(),
          (error, data, length) => this.#onConfirmed([feed], error, [data], length));
    }
    for (const {items, entries} of this.#messages(together, (feed) => feed.entry())) {
      connection.ask('subscribe', {channels: entries},
          (error, data) => this.#onConfirmed(items, error, data?.results));
    }
    this.#wanted.clear();
  }

  /** Splits what is to be sent into as few messages as the server takes. */
  #messages(items, entryOf) {
    const room = this.#connection.maxBytes - 200;
    const messages = [];
    let message = null;
    let bytes = 0;
    for (const item of items) {
      const entry = entryOf(item);
      const size = JSON.stringify(entry).length * 3 + 1;  // UTF-8 has up to three bytes a character
      if (!message || bytes + size > room || message.items.length === MAX_CHANNELS_PER_MESSAGE) {
        messages.push(message = {items: [], entries: []});
        bytes = 0;
      }
      message.items.push(item);
      message.entries.push(entry);
      bytes += size;
    }
    return messages;
  }

  #onConfirmed(feeds, error, results, length) {
    if (error?.code === 'DISCONNECTED') return;  // they are subscribed again
    feeds.forEach((feed, i) => {
      if (feed.phase !== 'asked') return;
      const result = results?.[i] ?? {};
      const code = error?.code ?? result.error_code;
      if (!code) return feed.confirm(result, length);
      // The limit on channels that nobody publishes to, or a server that is configured anew.
      const again = isTemporary(code) || (code === 'LIMIT_EXCEEDED' && feed.wasLive);
      const text = error?.message ?? result.error_message;
      if (!again) return feed.end(new FanwireError(code, `"${feed.channel}": ${text}`), code);
      feed.interrupt(code);
      const {minReconnectDelay, maxReconnectDelay} = this.#options;
      const most = Math.min(maxReconnectDelay, minReconnectDelay * 2 ** ++feed.refusals);
      feed.retry = setTimeout(() => {
        if (feed.phase === 'idle') this.#want(feed);
      }, most / 2 + Math.random() * most / 2);
    });
  }

  // ------------------------------------------------------------------------------ events

  #onEvent(message, length) {
    const {event, data, room} = message;
    switch (event) {
      case 'token.expiring':
        return this.#onExpiring(message);
      case 'server.draining':
        this.#drain = data.reconnect_after_ms;
        return;
      case 'channel.unsubscribed':
        return this.#feeds.get(data.channel)?.end(new FanwireError('FORBIDDEN',
            `"${data.channel}": ended by the server: ${data.reason}`), data.reason);
    }
    if (typeof room !== 'string') return;
    const take = event === 'channel.skipped' ? (feed) => feed.skipped(data) :
                                               (feed) => feed.event(message, length);
    const exact = this.#feeds.get(room);
    if (exact) take(exact);
    for (const feed of this.#patterns) if (feed.matches(room)) take(feed);
  }
}
