// Positions, recovery and gaps.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {chance, clock, connected, deferred, disturb, follow, makeClient, recover, sent, server,
  settle, upTo} from './fixture.mjs';

const at = (offset, epoch = 'e1') => ({epoch, offset});
const skipped = (channel, from, to, reason, more) =>
    server.socket.notice('channel.skipped', {channel, from, to, reason, ...more});

test('the position moves on when all handlers of an event have finished', async () => {
  const client = await connected();
  const gates = upTo(3).map(() => deferred());
  const {subscription, numbers} = follow(client, 'a', {}, (n) => gates[n - 1].promise);
  const second = [];
  subscription.on('event', ({data}) => {
    second.push(data.n);
  });
  await subscription.ready();
  server.publish('a', 3);
  await settle();
  assert.deepEqual([numbers, second], [[1], []]);
  assert.deepEqual(subscription.position, at(0));
  gates[0].resolve();
  await settle();
  assert.deepEqual([numbers, second], [[1, 2], [1]]);
  assert.deepEqual(subscription.position, at(1));
  gates[2].resolve();
  gates[1].resolve();
  await settle();
  assert.deepEqual([numbers, second], [upTo(3), upTo(3)]);
  assert.deepEqual(subscription.position, at(3));
});

test('an event whose handler fails counts as handled, and is reported', async () => {
  const client = await connected();
  const {subscription} = follow(client, 'a', {}, (n) => {
    if (n === 1) throw new Error('first');
    return Promise.reject(new Error('second'));
  });
  await subscription.ready();
  server.publish('a', 2);
  await settle();
  assert.deepEqual(client.log.slice(2), [['error', 'first'], ['error', 'second']]);
  assert.deepEqual(subscription.position, at(2));
});

test('events that wait for handlers are not asked for again', async () => {
  const client = await connected();
  const gate = deferred();
  const {subscription, numbers} = follow(client, 'a', {}, () => gate.promise);
  await subscription.ready();
  server.publish('a', 3);
  server.socket.drop();
  server.publish('a', 2);
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe')[0].channels, [{channel: 'a', recover: at(3)}]);
  assert.deepEqual(subscription.position, at(0));
  gate.resolve();
  await settle();
  assert.deepEqual(numbers, upTo(5));
});

test('a position from elsewhere is where it begins', async () => {
  server.publish('a', 5);
  const client = await connected();
  const {subscription, numbers, subscribed} = follow(client, 'a', {recover: at(2)});
  assert.deepEqual(subscription.position, at(2));
  await settle();
  assert.deepEqual(numbers, [3, 4, 5]);
  assert.deepEqual([subscribed[0].wasRecovering, subscribed[0].recovered], [true, true]);
});

test('what comes twice is handed over once', async () => {
  const client = await connected();
  const {subscription, numbers} = follow(client, 'a');
  await subscription.ready();
  server.publish('a', 3);
  for (const message of server.channel('a').history) server.socket.deliver(message);
  assert.deepEqual(numbers, upTo(3));
});

test('a gap is found and recovered', async () => {
  const client = await connected();
  const {subscription, numbers, subscribing, subscribed, gaps} = follow(client, 'a');
  await subscription.ready();
  server.publish('a', 2);
  server.socket.subscriptions.delete('a');
  server.publish('a', 3);  // lost
  server.socket.subscriptions.set('a', []);
  server.publish('a', 2);
  await settle();
  server.publish('a');
  assert.deepEqual(sent('subscribe')[1].channels, [{channel: 'a', recover: at(2)}]);
  assert.deepEqual(numbers, upTo(8));
  assert.deepEqual(gaps, []);
  assert.deepEqual(subscribing, [{channel: 'a', reason: 'gap'}]);
  assert.equal(subscribed[1].recovered, true);
});

test('events in a wrong order are put right', async () => {
  const client = await connected();
  const {subscription, numbers} = follow(client, 'a');
  await subscription.ready();
  server.socket.subscriptions.delete('a');
  server.publish('a', 3);
  const [one, two, three] = server.channel('a').history;
  for (const message of [two, one, three]) server.socket.deliver(message);
  await settle();
  assert.deepEqual(numbers, upTo(3));
});

test('events that are withheld from this connection make no loop', async () => {
  const client = await connected();
  const {subscription, numbers, gaps} = follow(client, 'a');
  await subscription.ready();
  server.publish('a');
  // The second excludes this connection: neither live nor recovered does it come.
  server.socket.subscriptions.delete('a');
  server.publish('a');
  server.channel('a').history.pop();
  server.socket.subscriptions.set('a', []);
  server.publish('a', 2);
  await settle();
  server.publish('a');
  await settle();
  assert.deepEqual(numbers, [1, 3, 4, 5]);
  assert.equal(sent('subscribe').length, 2);
  assert.deepEqual(gaps, []);
});

test('on filtered subscriptions and patterns a jump is no gap', async () => {
  const client = await connected();
  const filtered = follow(client, 'a', {events: ['x']});
  const pattern = follow(client, 'b:*');
  await settle();
  server.publish('a', 3, 'y');
  server.publish('a', 1, 'x');
  server.socket.subscriptions.delete('b:*');
  server.publish('b:1', 3);
  server.socket.subscriptions.set('b:*', []);
  server.publish('b:1');
  assert.deepEqual([filtered.numbers, pattern.numbers], [[4], [4]]);
  assert.deepEqual(filtered.subscription.position, at(4));
  assert.equal(pattern.subscription.position, null);
  server.publish('a', 1, 'y');
  server.socket.drop();
  server.publish('a', 1, 'x');
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe')[0].channels[0], {channel: 'a', events: ['x'], recover: at(4)});
  assert.deepEqual(filtered.numbers, [4, 6]);
  assert.deepEqual(filtered.gaps, []);
});

test('another epoch counts only from a confirmation', async () => {
  const client = await connected();
  const {subscription, numbers, gaps, subscribed} = follow(client, 'a');
  await subscription.ready();
  server.publish('a', 3);
  server.restart('a');
  server.publish('a', 2);  // no notice came before
  await settle();
  server.publish('a');
  await settle();
  assert.deepEqual(gaps, [{channel: 'a', reason: 'epoch_changed', from: 1, to: 2, epoch: 'e2'}]);
  assert.deepEqual(numbers, [1, 2, 3, 3]);
  assert.deepEqual(subscribed[1], {channel: 'a', epoch: 'e2', offset: 2, wasRecovering: true,
    recovered: false, reason: 'epoch_changed'});
  assert.deepEqual(subscription.position, at(3, 'e2'));
});

test('or from channel.skipped', async () => {
  const client = await connected();
  const {subscription, numbers, gaps} = follow(client, 'a');
  await subscription.ready();
  server.publish('a', 3);
  server.restart('a');
  skipped('a', 0, 0, 'epoch_changed', {epoch: 'e2'});
  assert.deepEqual(subscription.position, at(0, 'e2'));
  server.publish('a', 2);
  await settle();
  assert.deepEqual(gaps,
      [{channel: 'a', reason: 'epoch_changed', from: null, to: null, epoch: 'e2'}]);
  assert.deepEqual(numbers, [1, 2, 3, 1, 2]);
  assert.equal(sent('subscribe').length, 1);
});

test('what the server skipped is one gap in its place', async () => {
  const client = await connected();
  const {subscription, numbers, gaps} = follow(client, 'a');
  await subscription.ready();
  const order = [];
  subscription.on('event', ({data}) => order.push(data.n));
  subscription.on('gap', ({from, to}) => order.push(`${from}-${to}`));
  server.publish('a', 2);
  server.socket.subscriptions.clear();
  server.publish('a', 3);
  skipped('a', 3, 5, 'slow');
  skipped('a', 3, 5, 'slow');  // not a second time
  server.socket.subscriptions.set('a', []);
  server.publish('a', 2);
  await settle();
  assert.deepEqual(order, [1, 2, '3-5', 6, 7]);
  assert.deepEqual(gaps, [{channel: 'a', reason: 'slow', from: 3, to: 5, epoch: 'e1'}]);
  assert.deepEqual(numbers, [1, 2, 6, 7]);
  assert.equal(sent('subscribe').length, 1);
});

test('events within a skipped range that come after all are handed over', async () => {
  const client = await connected();
  const {subscription, numbers} = follow(client, 'a');
  await subscription.ready();
  server.socket.subscriptions.clear();
  server.publish('a', 9);
  skipped('a', 1, 8, 'slow');
  const {history} = server.channel('a');
  server.socket.deliver(history[5]);
  assert.deepEqual(subscription.position, at(8));  // it does not move back
  server.socket.deliver(history[8]);
  assert.deepEqual(numbers, [6, 9]);
  assert.deepEqual(subscription.position, at(9));
});

test('what cannot be recovered is one gap', async () => {
  const client = await connected();
  const {subscription, numbers, gaps, subscribed} = follow(client, 'a');
  await subscription.ready();
  server.publish('a', 2);
  server.historySize = 3;
  server.socket.drop();
  server.publish('a', 10);
  await clock.advance(1000);
  server.publish('a', 1);
  assert.deepEqual(gaps, [{channel: 'a', reason: 'history_expired', from: 3, to: 12, epoch: 'e1'}]);
  assert.deepEqual(numbers, [1, 2, 13]);
  assert.equal(subscribed[1].reason, 'history_expired');
  assert.equal(sent('subscribe').length, 1);
});

test('losses that the application has not been told of yet become one', async () => {
  const client = await connected();
  const gate = deferred();
  const {subscription, numbers, gaps} = follow(client, 'a', {}, () => gate.promise);
  await subscription.ready();
  server.historySize = 0;
  server.publish('a');
  for (const unused of upTo(3)) {
    server.socket.drop();
    server.publish('a', 2);
    await clock.advance(5000);
  }
  gate.resolve();
  await settle();
  assert.deepEqual(gaps, [{channel: 'a', reason: 'history_expired', from: 2, to: 7, epoch: 'e1'}]);
  assert.deepEqual(numbers, [1]);
  assert.deepEqual(subscription.position, at(7));
});

test('a gap handler is awaited, and the position moves on after it', async () => {
  const client = await connected();
  const gate = deferred();
  const {subscription, numbers} = follow(client, 'a');
  subscription.on('gap', () => gate.promise);
  await subscription.ready();
  skipped('a', 1, 4, 'slow');
  server.channel('a').offset = 4;
  server.publish('a');
  await settle();
  assert.deepEqual([numbers, subscription.position], [[], at(0)]);
  gate.resolve();
  await settle();
  assert.deepEqual([numbers, subscription.position], [[5], at(5)]);
});

test('a pattern gets a gap for each lost connection', async () => {
  const client = await connected();
  const {subscription, gaps, subscribed} = follow(client, 'a:*');
  await subscription.ready();
  server.publish('a:1');
  server.socket.drop();
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe')[0].channels, [{channel: 'a:*'}]);
  assert.deepEqual(gaps, [{channel: 'a:*', reason: 'pattern', from: null, to: null, epoch: null}]);
  assert.deepEqual([subscribed[1].wasRecovering, subscribed[1].recovered, subscribed[1].reason],
      [true, false, 'pattern']);
  skipped('a:1', 2, 3, 'slow');
  assert.deepEqual(gaps[1], {channel: 'a:1', reason: 'slow', from: 2, to: 3, epoch: null});
});

test('a pattern and a channel that it matches get each event once', async () => {
  const client = await connected();
  const pattern = follow(client, 'a:*', {events: ['test.event']});
  const exact = follow(client, 'a:1');
  await settle();
  server.publish('a:1', 2);
  server.publish('a:1', 1, 'other');
  server.publish('a:2');
  assert.deepEqual([pattern.numbers, exact.numbers], [[1, 2, 1], [1, 2, 3]]);
  server.socket.drop();
  server.publish('a:1', 2);
  await clock.advance(1000);
  // Recovered for the one, and new to the other, too.
  assert.deepEqual([pattern.numbers, exact.numbers], [[1, 2, 1, 4, 5], upTo(5)]);
  // A recovery from further back brings the pattern nothing again.
  exact.subscription.unsubscribe();
  const again = follow(client, 'a:1', {recover: at(1)});
  await settle();
  assert.deepEqual([pattern.numbers, again.numbers], [[1, 2, 1, 4, 5], [2, 3, 4, 5]]);
});

test('events without a position are handed over and leave it', async () => {
  const client = await connected();
  const {subscription, numbers} = follow(client, 'a');
  await subscription.ready();
  server.publish('a');
  server.socket.deliver({event: 'cursor.moved', data: {n: 'x'}, room: 'a'});
  assert.deepEqual(subscription.position, at(1));
  server.publish('a');
  assert.deepEqual(numbers, [1, 'x', 2]);
  assert.deepEqual(subscription.position, at(2));
});

test('an event named session.created is one like others', async () => {
  const client = await connected();
  const {subscription, numbers} = follow(client, 'a');
  await subscription.ready();
  server.publish('a', 1, 'session.created');
  server.socket.deliver({event: 'session.created', data: {}});
  assert.deepEqual(numbers, [1]);
  assert.equal(client.log.filter(([name]) => name === 'connected').length, 1);
});

test('through delays, cuts and losses every event comes once and in order', async () => {
  let seed = 7;
  const random = () => (seed = seed * 48271 % 2147483647) / 2147483647;
  const client = await connected({minReconnectDelay: 20, maxReconnectDelay: 100, timeout: 300,
    pingInterval: 100});
  const gate = () => new Promise((resolve) => setTimeout(resolve, random() * 4));
  const seen = ['a', 'b', 'c'].map((channel, i) => follow(client, channel,
      {maxQueuedEvents: 10}, i === 1 ? gate : undefined));
  await clock.advance(100);
  for (let round = 0; round < 400; ++round) {
    chance(random());
    for (const channel of ['a', 'b', 'c']) server.publish(channel, Math.floor(random() * 3));
    disturb(random(), random);
    await clock.advance(Math.floor(random() * 30));
  }
  await recover(['a', 'b', 'c']);
  for (const {subscription, numbers, gaps} of seen) {
    assert.deepEqual(numbers, upTo(server.channel(subscription.channel).offset));
    assert.deepEqual(gaps, []);
  }
});
