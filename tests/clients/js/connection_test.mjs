// Opening, authenticating, losing and reopening the connection.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Client, FanwireError} from '../../../clients/js/src/index.js';
import {chance, clock, connected, deferred, follow, makeClient, names, sent, server, settle} from
    './fixture.mjs';

const last = (client, name) => client.log.filter(([one]) => one === name).pop()?.[1];

test('it connects with the first use', async () => {
  const client = makeClient();
  await clock.advance(1000);
  assert.equal(server.sockets.length, 0);
  assert.equal(client.state, 'disconnected');
  client.subscribe('a');
  assert.equal(client.state, 'connecting');
  await clock.advance(0);
  assert.equal(client.state, 'connected');
  assert.deepEqual(names(client), ['connecting', 'connected']);
  assert.equal(last(client, 'connected').connection_id, 'c1');
  assert.equal(server.socket.url, 'ws://fake');
});

test('wrong arguments are refused at once', () => {
  const {WebSocket} = server;
  assert.throws(() => new Client('http://x', {WebSocket}), /"http:\/\/x" is no ws:\/\/ or wss:/);
  assert.throws(() => new Client('ws://x', {WebSocket, maxDelay: 1}), /no option "maxDelay"/);
  assert.throws(() => new Client('ws://x', {WebSocket, timeout: 0}), /timeout: 0 is not a number/);
  assert.throws(() => new Client('ws://x', {WebSocket, pingInterval: -1}), RangeError);
  const global = globalThis.WebSocket;
  delete globalThis.WebSocket;
  assert.throws(() => new Client('ws://x'), /no global WebSocket: give the one of the package ws/);
  if (global) globalThis.WebSocket = global;
  const client = makeClient();
  assert.throws(() => client.on('conected', () => {}), /no event "conected"; there are connecting/);
  assert.throws(() => client.on('error'), /the handler is no function/);
  assert.throws(() => client.subscribe(''), /the channel is no text, or empty/);
  assert.throws(() => client.subscribe('a', {evnts: []}), /no option "evnts"/);
  assert.throws(() => client.subscribe('a:*', {recover: {epoch: 'e', offset: 1}}),
      /patterns cannot be recovered/);
});

test('the global WebSocket is the default', async () => {
  const global = globalThis.WebSocket;
  globalThis.WebSocket = server.WebSocket;
  await connected({WebSocket: undefined});
  globalThis.WebSocket = global;
  if (!global) delete globalThis.WebSocket;
  assert.equal(server.sockets.length, 1);
});

for (const demandsToken of [true, false]) {
  test(`the token is sent first, demanded: ${demandsToken}`, async () => {
    server.demandsToken = demandsToken;
    server.delay = 10;
    const client = await connected({getToken: async () => 't1'});
    await clock.advance(100);
    assert.equal(client.state, 'connected');
    assert.deepEqual(server.socket.sent[0],
        {type: 'request', id: 'auth', event: 'auth', data: {token: 't1'}});
  });
}

test('it is connected only when the token is taken, though the welcome came before', async () => {
  server.answers = false;
  const client = await connected({getToken: () => 't1'});
  assert.equal(client.state, 'connecting');
  server.socket.release();
  assert.equal(client.state, 'connected');
});

test('a client without a token where one is demanded stops and says so', async () => {
  server.demandsToken = true;
  const client = makeClient();
  const subscription = client.subscribe('a');
  const ready = assert.rejects(subscription.ready(), /1008 Authentication required/);
  const asked = assert.rejects(client.request('ping'), {code: 'DISCONNECTED', closeCode: 1008});
  await clock.advance(60_000);
  await Promise.all([ready, asked]);
  assert.equal(client.state, 'disconnected');
  assert.equal(server.sockets.length, 1);
  assert.equal(subscription.state, 'unsubscribed');
  await assert.rejects(async () => {
    for await (const event of subscription) assert.fail(event);
  }, FanwireError);
  const {code, error} = last(client, 'disconnected');
  assert.deepEqual([code, error.closeCode], [1008, 1008]);
  assert.equal(clock.timers, 0);
});

for (const demandsToken of [true, false]) {
  test(`a token that is refused is replaced twice; demanded: ${demandsToken}`, async () => {
    server.demandsToken = demandsToken;
    server.token = (token) => token === 't3';
    let calls = 0;
    const client = await connected({getToken: () => `t${++calls}`});
    await clock.advance(10_000);
    assert.equal(client.state, 'connected');
    assert.equal(calls, 3);
    server.token = () => false;
    server.socket.drop();
    await clock.advance(60_000);
    assert.equal(client.state, 'disconnected');
    assert.equal(calls, 6);
    assert.match(last(client, 'disconnected').error.message, /1008 Invalid or expired token/);
  });
}

const RECONNECTS = [1000, 1001, 1002, 1006, 1007, 1009, 1011, 1012, 1013, 3000, 4000, 4003, 4004,
  4499];
for (const code of RECONNECTS) {
  test(`close code ${code}: reconnects`, async () => {
    const client = await connected();
    server.socket.drop(code, 'why');
    assert.equal(client.state, 'connecting');
    assert.equal(last(client, 'connecting').code, code);
    assert.match(last(client, 'connecting').reason, new RegExp(`${code} why`));
    await clock.advance(500);
    assert.equal(client.state, 'connected');
  });
}

for (const code of [4001, 4500, 4501, 4999]) {
  test(`close code ${code}: is final`, async () => {
    const client = await connected();
    const {subscription, unsubscribed} = follow(client, 'a');
    server.socket.drop(code, 'disconnected by operator');
    await clock.advance(60_000);
    assert.equal(client.state, 'disconnected');
    assert.equal(server.sockets.length, 1);
    assert.equal(subscription.state, 'unsubscribed');
    assert.equal(unsubscribed[0].error.closeCode, code);
    // The application may begin again.
    client.connect();
    await clock.advance(0);
    assert.equal(client.state, 'connected');
  });
}

test('1008 for the rate reconnects', async () => {
  const client = await connected();
  server.socket.drop(1008, 'rate limit');
  await clock.advance(500);
  assert.equal(client.state, 'connected');
});

test('the waits are random up to a bound that doubles', async () => {
  server.reachable = false;
  const client = makeClient({minReconnectDelay: 100, maxReconnectDelay: 1000});
  chance(0.999999);
  client.connect();
  await clock.advance(5000);
  const delays = () => client.log.filter(([name]) => name === 'connecting')
      .map(([, {delay}]) => Math.round(delay));
  assert.deepEqual(delays().slice(0, 7), [0, 100, 200, 400, 800, 1000, 1000]);
  assert.match(last(client, 'connecting').reason, /unreachable/);
  chance(0.1);
  await clock.advance(2000);
  assert.equal(delays().pop(), 100);
});

test('only a connection that lasted begins the waits anew', async () => {
  chance(0.999999);
  const client = await connected({minReconnectDelay: 1000, maxReconnectDelay: 8000});
  const dropAfter = async (ms) => {
    await clock.advance(ms);
    assert.equal(client.state, 'connected');
    server.socket.drop(1011);
    const {delay, attempt} = last(client, 'connecting');
    await clock.advance(delay);
    return [attempt, Math.round(delay)];
  };
  assert.deepEqual(await dropAfter(10), [1, 1000]);
  assert.deepEqual(await dropAfter(10), [2, 2000]);
  assert.deepEqual(await dropAfter(3000), [3, 4000]);
  assert.deepEqual(await dropAfter(9000), [1, 1000]);
});

test('server.draining says when to come back', async () => {
  const client = await connected();
  server.socket.notice('server.draining', {reconnect_after_ms: [2000, 6000], reason: 'restart'});
  await clock.advance(100);
  assert.equal(client.state, 'connected');
  server.socket.drop(1012, 'restart');
  assert.equal(last(client, 'connecting').delay, 4000);
  await clock.advance(3999);
  assert.equal(server.sockets.length, 1);
  await clock.advance(1);
  assert.equal(client.state, 'connected');
  // It holds once.
  server.socket.drop(1012, 'restart');
  assert.equal(last(client, 'connecting').delay < 2000, true);
});

test('a server that says nothing is given up', async () => {
  server.welcomes = false;
  const client = await connected({timeout: 3000});
  await clock.advance(2999);
  assert.equal(server.sockets.length, 1);
  await clock.advance(1);
  assert.equal(server.socket.closedWith, 1000);
  assert.match(last(client, 'connecting').reason, /no welcome within 3000 ms/);
  server.welcomes = true;
  await clock.advance(500);
  assert.equal(client.state, 'connected');
});

test('a WebSocket that cannot be made is reported and tried again', async () => {
  let broken = true;
  const WebSocket = class {
    constructor(url) {
      if (broken) throw new Error('not allowed here');
      return new server.WebSocket(url);
    }
  };
  const client = await connected({WebSocket});
  assert.deepEqual(last(client, 'error'), 'not allowed here');
  broken = false;
  await clock.advance(1000);
  assert.equal(client.state, 'connected');
});

test("session-buddy's own dialect is told", async () => {
  server.welcomes = false;
  const client = await connected();
  server.socket.deliver('{"type": "connected", "message": "x", "authenticated": false}');
  await clock.advance(60_000);
  assert.equal(client.state, 'disconnected');
  assert.match(last(client, 'disconnected').error.message, /use the port of its common protocol/);
});

test('what is no JSON is reported', async () => {
  const client = await connected();
  server.socket.deliver('{');
  assert.deepEqual(client.log.pop(), ['error', 'a message of the server is no JSON']);
  server.socket.deliver('null');
  assert.equal(client.state, 'connected');
});

test('disconnect() ends everything', async () => {
  const client = await connected();
  const {subscription, unsubscribed} = follow(client, 'a');
  await subscription.ready();
  server.answers = false;
  const asked = client.request('held');
  client.disconnect();
  await assert.rejects(asked, {code: 'DISCONNECTED'});
  assert.equal(server.socket.closedWith, 1000);
  assert.equal(subscription.state, 'unsubscribed');
  assert.deepEqual(unsubscribed, [{channel: 'a', reason: 'disconnected', error: null}]);
  assert.deepEqual(client.log.pop(),
      ['disconnected', {code: 1000, reason: 'disconnect() was called', error: null}]);
  await clock.advance(60_000);
  assert.equal(server.sockets.length, 1);
  assert.equal(clock.timers, 0);
  server.answers = true;
  client.connect();
  await clock.advance(0);
  assert.equal(client.state, 'connected');
  assert.deepEqual(sent('unsubscribe'), []);
});

test('disconnect() in each phase of an attempt leaves nothing behind', async () => {
  const token = deferred();
  const client = makeClient({getToken: () => token.promise});
  client.connect();
  client.disconnect();  // while getToken is at work
  token.resolve('t');
  await clock.advance(60_000);
  assert.equal(server.sockets.length, 0);
  client.connect();
  await settle();
  client.disconnect();  // while the socket opens
  await clock.advance(60_000);
  assert.equal(server.sockets.length, 1);
  server.reachable = false;
  client.connect();
  await clock.advance(0);
  client.disconnect();  // while it waits
  await clock.advance(60_000);
  assert.equal(server.sockets.length, 2);
  assert.equal(clock.timers, 0);
});

for (const event of ['connecting', 'connected']) {
  test(`disconnect() in a handler of ${event} is final`, async () => {
    const client = makeClient();
    client.on(event, () => client.disconnect());
    const asked = assert.rejects(client.request('a'), {code: 'DISCONNECTED'});
    await clock.advance(60_000);
    await asked;
    assert.equal(client.state, 'disconnected');
    assert.equal(clock.timers, 0);
    assert.equal(server.sockets.length, event === 'connected' ? 1 : 0);
  });
}

test('a handler that connects anew is not taken for connected', async () => {
  const client = makeClient();
  const off = client.on('connected', () => {
    off();
    client.disconnect();
    server.reachable = false;
    client.connect();
    client.ready().then(() => client.log.push(['ready']), () => {});
  });
  client.connect();
  await clock.advance(2000);
  assert.equal(client.state, 'connecting');
  assert.equal(names(client).includes('ready'), false);
});

test('ready() resolves when connected, and rejects when that ends', async () => {
  const client = makeClient();
  const both = [client.ready(), client.ready()];
  await clock.advance(0);
  await Promise.all(both);
  await client.ready();
  server.socket.drop(4500);
  server.reachable = false;
  const ready = assert.rejects(client.ready(), {code: 'DISCONNECTED'});
  client.disconnect();
  await ready;
});

test('without handlers errors go to the console', async () => {
  const lines = [];
  const before = console.error;
  console.error = (error) => lines.push(error.message);
  const client = new Client('ws://fake', {WebSocket: server.WebSocket});
  client.on('connected', () => {
    throw new Error('of a handler');
  });
  client.connect();
  await clock.advance(0);
  client.on('error', () => {
    throw new Error('of the error handler');
  });
  client.on('error', async () => {
    throw new Error('of the async error handler');
  });
  server.socket.deliver('{');
  await settle();
  client.disconnect();
  console.error = before;
  assert.deepEqual(lines, ['of a handler', 'of the error handler', 'of the async error handler']);
});
