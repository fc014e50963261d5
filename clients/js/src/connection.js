import {FanwireError} from './errors.js';

const OPEN = 1;
// The server tells no correlation when it refuses a longer message for its rate.
const MAX_CORRELATED_LENGTH = 4096;

const SILENT = {up() {}, event() {}, down() {}, error() {}};

const bytesOf = (text) => new TextEncoder().encode(text).length;

/**
 * One WebSocket, from opening it to its end: authentication, welcome, requests and their answers,
 * and pings that find out whether the server is still there.
 *
 * `on` has the functions up(welcome), event(message, length), down({code, reason, error, refused})
 * and error(error).  down is called once, and nothing is called after it.
 */
export class Connection {
  #socket;
  #on;
  #options;
  #pending = new Map();  // id: {done, length}
  #lastId = 0;
  #welcome = null;
  #authenticated;
  #refusal = null;  // the server's reason for the close that follows
  #timer = null;  // ends the opening, a ping's wait, or the time until the next ping
  #heard = true;
  #probing = false;

  constructor(WebSocket, url, token, options, on) {
    this.#on = on;
    this.#options = options;
    this.#authenticated = !token;
    const socket = this.#socket = new WebSocket(url);
    this.#wait(options.timeout, () => this.#lost(`no welcome within ${options.timeout} ms`));
    // Where a token is demanded the server is silent until something comes, and refuses a ping.
    socket.onopen = () => token ? this.#authenticate(token) : this.#ping();
    socket.onmessage = ({data}) => this.#receive(data);
    socket.onclose = ({code, reason}) => this.#down({code, reason});
    // The close that follows says no more; only Node's errors have a message.
    socket.onerror = ({message}) => {
      if (message) this.#refusal ??= new FanwireError('DISCONNECTED', message);
    };
  }

  get limits() {
    return this.#welcome.limits ?? {};
  }

  /** The longest message that the server takes. */
  get maxBytes() {
    return this.limits.max_message_bytes ?? 1 << 20;
  }

  /**
   * Sends a request.  done(error, data, length) is called with the data and the length of its
   * answer, or with DISCONNECTED.
   * Returns a function that forgets the request.
   */
  ask(event, data, done) {
    const id = String(++this.#lastId);
    const text = JSON.stringify({type: 'request', id, event, data});
    if (text.length * 3 > this.maxBytes && bytesOf(text) > this.maxBytes) {
      queueMicrotask(() => done(new FanwireError('INVALID_REQUEST',
          `${event}: the message has ${bytesOf(text)} bytes, the server takes ${this.maxBytes}`)));
      return () => {};
    }
    this.#pending.set(id, {done, length: text.length});
    this.#send(text);
    return () => this.#pending.delete(id);
  }

  /** Finds out whether the server is still there; if it is not, the connection ends. */
  probe() {
    if (this.#probing || !this.#welcome) return;
    this.#probing = true;
    const {timeout} = this.#options;
    this.#wait(timeout, () => this.#lost(`no answer to a ping within ${timeout} ms`));
    this.#ping();
  }

  /** Ends the connection; down() is not called. */
  close() {
    this.#on = SILENT;
    this.#end({code: 1000}, 1000);
  }

  #send(message) {
    if (this.#socket.readyState !== OPEN) return;  // its close follows
    this.#socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  #ping() {
    this.#send({type: 'ping', id: 'ping'});
  }

  #wait(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #authenticate(token) {
    this.#pending.set('auth', {length: 0, done: (error) => {
      if (error) {
        this.#refusal = error;
        // Where no token is demanded, the server lets the session go on without one.
        return this.#down({code: 1008, reason: error.message}, 1000);
      }
      this.#authenticated = true;
      this.#maybeUp();
    }});
    this.#send({type: 'request', id: 'auth', event: 'auth', data: {token}});
  }

  #maybeUp() {
    if (!this.#welcome || !this.#authenticated) return;
    this.#keepAlive();
    this.#on.up(this.#welcome);
  }

  #keepAlive() {
    if (this.#options.pingInterval === 0) return clearTimeout(this.#timer);
    this.#heard = false;
    this.#wait(this.#options.pingInterval, () => this.#heard ? this.#keepAlive() : this.probe());
  }

  #receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return this.#on.error(new FanwireError('DECODE_ERROR', 'a message of the server is no JSON'));
    }
    this.#heard = true;
    if (this.#probing) {
      this.#probing = false;
      this.#keepAlive();
    }
    switch (message?.type) {
      case 'event':
        if (this.#welcome) return this.#on.event(message, text.length);
        if (message.event !== 'session.created') return;
        this.#welcome = message.data;
        return this.#maybeUp();
      case 'response':
      case 'pong':
        return this.#answer(message.correlation_id, null, message.data, text.length);
      case 'error':
        return this.#error(message);
      case 'connected':
        this.#refusal = new FanwireError('DISCONNECTED',
            "this port speaks session-buddy's own dialect; use the port of its common protocol");
        return this.#down({code: 4001, reason: this.#refusal.message}, 1000);
    }
  }

  #error({correlation_id: id, error_code: code, error_message: text, reason}) {
    const error = new FanwireError(code, reason ? `${text}: ${reason}` : text);
    if (this.#answer(id, error) || id !== null) return;
    if (code === 'AUTH_REQUIRED') {
      this.#refusal = error;
    } else if (code === 'RATE_LIMIT_EXCEEDED') {
      for (const [key, {length}] of [...this.#pending]) {
        if (length > MAX_CORRELATED_LENGTH) this.#answer(key, error);
      }
    } else {
      this.#on.error(error);
    }
  }

  #answer(id, error, data, length) {
    const pending = this.#pending.get(id);
    if (!pending) return false;
    this.#pending.delete(id);
    pending.done(error, data, length);
    return true;
  }

  #lost(reason) {
    this.#down({code: 1006, reason}, 1000);
  }

  #down(info, closeWith) {
    const {code, reason} = info;
    const text = this.#refusal?.message ?? (reason || 'no close frame');
    const refused = code === 1008 && reason !== 'rate limit';
    const error = new FanwireError('DISCONNECTED', `the connection ended: ${code} ${text}`,
        {closeCode: code});
    this.#end({...info, error, refused}, closeWith);
  }

  #end(info, closeWith) {
    const on = this.#on;
    const socket = this.#socket;
    const pending = [...this.#pending.values()];
    clearTimeout(this.#timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};  // ws throws if nobody listens
    if (closeWith) socket.close(closeWith);
    this.#on = SILENT;
    this.#pending.clear();
    const lost = new FanwireError('DISCONNECTED', 'the connection ended before the answer',
        {closeCode: info.code});
    for (const {done} of pending) done(lost);
    on.down(info);
  }
}
