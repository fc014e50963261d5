// Tokens, wake-ups and pings.
import assert from 'node:assert/strict';
import {getEventListeners} from 'node:events';
import {afterEach, beforeEach, test} from 'node:test';
import {chance, clock, connected, deferred, follow, makeClient, sent, server, upTo} from
    './fixture.mjs';

const events = {};

beforeEach(() => {
  events.document = Object.assign(new EventTarget(), {visibilityState: 'visible'});
  events.window = new EventTarget();
  globalThis.document = events.document;
  for (const name of ['addEventListener', 'removeEventListener']) {
    events[name] = globalThis[name];
    globalThis[name] = events.window[name].bind(events.window);
  }
});

afterEach(() => {
  delete globalThis.document;
  for (const name of ['addEventListener', 'removeEventListener']) globalThis[name] = events[name];
});

const online = () => events.window.dispatchEvent(new Event('online'));
function visible(state = 'visible') {
  events.document.visibilityState = state;
  events.document.dispatchEvent(new Event('visibilitychange'));
}

/** An option getToken that makes t1, t2 …; `calls` says how often. */
function tokens() {
  let calls = 0;
  return Object.defineProperty({getToken: () => `t${++calls}`}, 'calls', {get: () => calls});
}

const expiring = (ms) => server.socket.notice('token.expiring',
    {expires_at: new Date(clock.now() + ms).toISOString()});

test('each connection gets a fresh token before it is opened', async () => {
  const source = tokens();
  const opened = [];
  const client = await connected({
    getToken: () => {
      opened.push(server.sockets.length);
      return source.getToken();
    },
  });
  server.socket.drop(4004, 'token expired');
  await clock.advance(500);
  server.socket.drop();
  await clock.advance(1000);
  assert.equal(client.state, 'connected');
  assert.deepEqual(opened, [0, 1, 2]);
  assert.deepEqual(server.sockets.map(({sent: [first]}) => first.data.token), ['t1', 't2', 't3']);
});

test('without a token nothing is sent', async () => {
  const client = await connected({getToken: () => null});
  assert.equal(client.state, 'connected');
  assert.deepEqual(sent('auth'), []);
});

test('a getToken that fails or hangs is reported and called again', async () => {
  const answers = [() => Promise.reject(new Error('no network')), () => new Promise(() => {}),
    () => {
      throw new Error('at once');
    }, () => 'good'];
  const client = await connected({getToken: () => answers.shift()(), timeout: 2000});
  await clock.advance(10_000);
  assert.equal(client.state, 'connected');
  assert.deepEqual(client.log.filter(([name]) => name === 'error').map(([, text]) => text),
      ['no network', 'getToken: no answer within 2000 ms', 'at once']);
  assert.equal(server.sockets.length, 1);
});

test('an expiring token is refreshed in the session', async () => {
  const source = tokens();
  const client = await connected(source);
  await clock.advance(60_000);
  expiring(30_000);
  await clock.advance(0);
  assert.deepEqual(sent('refresh_token'), [{token: 't2'}]);
  assert.equal(client.state, 'connected');
  assert.equal(server.sockets.length, 1);
});

test('a refresh that fails is repeated while the session lasts', async () => {
  let calls = 0;
  const client = await connected({getToken: () => {
    if (++calls === 2) throw new Error('no network');
    return `t${calls}`;
  }});
  server.token = (token) => token !== 't3';
  await clock.advance(60_000);
  expiring(30_000);
  await clock.advance(0);
  assert.deepEqual(sent('refresh_token'), []);
  await clock.advance(5000);
  assert.deepEqual(sent('refresh_token'), [{token: 't3'}]);
  await clock.advance(5000);
  assert.deepEqual(sent('refresh_token'), [{token: 't3'}, {token: 't4'}]);
  await clock.advance(60_000);
  assert.equal(calls, 4);
  assert.deepEqual(client.log.slice(2),
      [['error', 'no network'], ['error', 'Invalid or expired token']]);
  assert.equal(client.state, 'connected');
});

test('disconnect() in an error handler is final', async () => {
  let good = false;
  const client = makeClient({getToken: () => {
    if (!good) throw new Error('no network');
    return 't';
  }});
  client.on('error', () => client.disconnect());
  client.connect();
  await clock.advance(60_000);
  assert.deepEqual([client.state, server.sockets.length, clock.timers], ['disconnected', 0, 0]);
  good = true;
  client.connect();
  await clock.advance(10_000);
  good = false;
  expiring(30_000);
  await clock.advance(60_000);
  assert.deepEqual([client.state, server.sockets.length, clock.timers], ['disconnected', 1, 0]);
});

test('a refresh ends with its connection', async () => {
  const source = tokens();
  await connected(source);
  await clock.advance(60_000);
  server.token = () => false;
  expiring(30_000);
  await clock.advance(0);
  server.token = () => true;
  server.socket.drop();
  await clock.advance(60_000);
  assert.deepEqual(sent('refresh_token'), []);
  assert.equal(source.calls, 3);
});

test('a token that comes when its connection has ended is not used', async () => {
  const late = [deferred(), deferred()];
  let calls = 0;
  const client = await connected({getToken: () => {
    ++calls;
    return calls % 2 === 1 ? `t${calls}` : late[calls / 2 - 1].promise;
  }});
  const {reject} = late[1];
  for (const settleLate of [() => late[0].resolve('late'), () => reject(new Error('late'))]) {
    await clock.advance(60_000);
    expiring(30_000);
    await clock.advance(0);
    server.socket.drop();
    await clock.advance(1000);
    assert.equal(client.state, 'connected');
    settleLate();
    await clock.advance(20_000);
  }
  assert.equal(calls, 5);
  assert.equal(server.sockets.flatMap((socket) => sent('refresh_token', socket)).length, 0);
  assert.equal(client.log.filter(([name]) => name === 'error').length, 0);
});

test('tokens that are short-lived or not renewed make no loop', async () => {
  const source = tokens();
  await connected(source);
  const socket = server.socket;
  // The server tells each time at once; the token stays the same.
  const end = clock.now() + 4000;
  const answer = socket.answer.bind(socket);
  socket.answer = (request) => {
    answer(request);
    if (request.event === 'refresh_token') expiring(end - clock.now());
  };
  expiring(4000);
  await clock.advance(4000);
  assert.equal(sent('refresh_token').length, 2);  // after 2 s and 3 s
});

test('without getToken an expiring token is let go', async () => {
  await connected();
  expiring(30_000);
  await clock.advance(10_000);
  assert.deepEqual(sent('refresh_token'), []);
});

for (const [name, wake] of [['online', online], ['visibilitychange', visible]]) {
  test(`${name} ends the wait for the next attempt, with a fresh token`, async () => {
    chance(0.999);
    const source = tokens();
    const client = await connected({...source, minReconnectDelay: 10_000});
    server.reachable = false;
    server.socket.drop();
    await clock.advance(5000);
    clock.sleep(3_600_000);
    server.reachable = true;
    wake();
    await clock.advance(0);
    assert.equal(client.state, 'connected');
    assert.deepEqual(sent('auth'), [{token: 't2'}]);
    assert.equal(server.sockets.length, 2);
  });
}

test('a page that is hidden does not wake', async () => {
  chance(0.999);
  const client = await connected({minReconnectDelay: 10_000});
  server.socket.drop();
  visible('hidden');
  await clock.advance(5000);
  assert.equal(client.state, 'connecting');
  assert.equal(server.sockets.length, 1);
});

test('waking does not come before the time that a draining server named', async () => {
  const client = await connected();
  server.socket.notice('server.draining', {reconnect_after_ms: [5000, 5000], reason: 'restart'});
  server.socket.drop(1012);
  online();
  await clock.advance(4000);
  assert.equal(client.state, 'connecting');
  assert.equal(server.sockets.length, 1);
});

test('after a sleep a connection that only seems to live is replaced without a loss', async () => {
  const source = tokens();
  const client = await connected({...source, timeout: 2000});
  const {numbers} = follow(client, 'a');
  await clock.advance(0);
  server.publish('a', 2);
  server.socket.subscriptions.clear();  // the server knows it no more …
  server.answers = false;  // … and answers nothing
  server.publish('a', 3);
  clock.sleep(8 * 3_600_000);
  visible();
  await clock.advance(1999);
  assert.equal(server.sockets.length, 1);
  server.answers = true;
  await clock.advance(1000);
  assert.equal(client.state, 'connected');
  assert.deepEqual(sent('auth'), [{token: 't2'}]);
  assert.deepEqual(numbers, upTo(5));
});

test('after a sleep a connection that lives stays', async () => {
  const client = await connected();
  const before = server.socket.sent.length;
  clock.sleep(60_000);
  visible();
  visible();
  assert.deepEqual(server.socket.sent.slice(before).map(({type}) => type), ['ping', 'ping']);
  await clock.advance(20_000);
  assert.equal(client.state, 'connected');
  assert.equal(server.sockets.length, 1);
});

test('waking again does not lengthen the wait for the answer', async () => {
  const client = await connected({timeout: 2000});
  server.answers = false;
  visible();
  await clock.advance(1500);
  online();
  await clock.advance(499);
  assert.equal(client.state, 'connected');
  await clock.advance(1);
  assert.match(client.log[2][1].reason, /no answer to a ping/);
});

test('after disconnect() nothing wakes it', async () => {
  const client = await connected();
  client.disconnect();
  assert.equal(getEventListeners(events.window, 'online').length, 0);
  assert.equal(getEventListeners(events.document, 'visibilitychange').length, 0);
  online();
  visible();
  await clock.advance(60_000);
  assert.equal(server.sockets.length, 1);
});

test('a silent connection is pinged, and given up if nothing comes', async () => {
  const client = await connected({pingInterval: 1000, timeout: 500});
  const pings = () => server.socket.sent.filter(({type}) => type === 'ping').length;
  const first = pings();
  await clock.advance(3500);
  assert.equal(pings() - first >= 2, true);
  // Whatever comes is a sign of life.
  const {numbers} = follow(client, 'a');
  await clock.advance(0);
  const before = pings();
  for (let i = 0; i < 20; ++i) {
    server.publish('a');
    await clock.advance(400);
  }
  assert.equal(pings() - before <= 1, true);
  assert.equal(numbers.length, 20);
  server.answers = false;
  await clock.advance(1000);
  assert.equal(client.log.length, 2);
  await clock.advance(1500);
  assert.match(client.log[2][1].reason, /no answer to a ping within 500 ms/);
});

test('pingInterval 0: no pings', async () => {
  await connected({pingInterval: 0});
  const before = server.socket.sent.length;
  await clock.advance(3_600_000);
  assert.equal(server.socket.sent.length, before);
  assert.equal(clock.timers, 0);
});

test('the wake-up handlers are gone where there is no window', async () => {
  for (const name of ['addEventListener', 'removeEventListener']) delete globalThis[name];
  delete globalThis.document;
  const client = makeClient();
  client.connect();
  await clock.advance(0);
  assert.equal(client.state, 'connected');
  client.disconnect();
});
