// Subscribing, unsubscribing, and what a subscription tells of itself.
import assert from 'node:assert/strict';
import {getEventListeners} from 'node:events';
import {test} from 'node:test';
import {clock, connected, follow, makeClient, sent, server, settle, upTo} from './fixture.mjs';

test('a subscription is confirmed', async () => {
  const client = await connected();
  server.publish('a', 41);
  const {subscription, subscribed} = follow(client, 'a');
  assert.equal(subscription.channel, 'a');
  assert.equal(subscription.state, 'subscribing');
  assert.equal(subscription.position, null);
  assert.equal(await subscription.ready(), subscription);
  assert.equal(subscription.state, 'subscribed');
  assert.deepEqual(subscribed, [{channel: 'a', epoch: 'e1', offset: 41, wasRecovering: false,
    recovered: false, reason: null}]);
  assert.deepEqual(subscription.position, {epoch: 'e1', offset: 41});
  await subscription.ready();
  assert.throws(() => subscription.on('events', () => {}), /no event "events"/);
});

test('subscriptions of one turn go in one message', async () => {
  const client = makeClient();
  for (const channel of ['a', 'b', 'c:*']) client.subscribe(channel);
  client.subscribe('d', {events: ['x', 'y'], recover: {epoch: 'e', offset: 3}});
  client.subscribe('e', {events: []});
  await clock.advance(0);
  assert.deepEqual(sent('subscribe'), [{channels: [{channel: 'a'}, {channel: 'b'}, {channel: 'c:*'},
    {channel: 'd', events: ['x', 'y'], recover: {epoch: 'e', offset: 3}}, {channel: 'e'}]}]);
  client.subscribe('f');
  client.subscribe('g');
  await settle();
  assert.equal(sent('subscribe').length, 2);
});

test('all subscribe again in one message, each behind its last event', async () => {
  const client = await connected();
  const seen = ['a', 'b', 'c'].map((channel) => follow(client, channel));
  await settle();
  server.publish('a', 3);
  server.publish('b', 1);
  server.socket.drop();
  assert.deepEqual(seen[0].subscribing, [{channel: 'a', reason: 'connection_lost'}]);
  assert.equal(seen[0].subscription.state, 'subscribing');
  server.publish('a', 2);
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe'), [{channels: [
    {channel: 'a', recover: {epoch: 'e1', offset: 3}},
    {channel: 'b', recover: {epoch: 'e1', offset: 1}},
    {channel: 'c', recover: {epoch: 'e1', offset: 0}}]}]);
  server.publish('a', 1);
  assert.deepEqual(seen[0].numbers, upTo(6));
  assert.deepEqual(seen[0].subscribed[1], {channel: 'a', epoch: 'e1', offset: 5,
    wasRecovering: true, recovered: true, reason: null});
  assert.deepEqual(seen.map(({gaps}) => gaps), [[], [], []]);
});

test('what does not fit into one message goes in several', async () => {
  server.limits = {max_message_bytes: 2000};
  const client = await connected();
  const subscriptions = upTo(40).map((n) => client.subscribe(`channel:${n}`));
  await settle();
  const messages = server.socket.sent.filter(({event}) => event === 'subscribe');
  assert.equal(messages.length > 1, true);
  assert.equal(messages.every((message) => JSON.stringify(message).length <= 2000), true);
  assert.equal(subscriptions.every(({state}) => state === 'subscribed'), true);
});

test('ten thousand channels at most go in one message', async () => {
  server.limits = {max_message_bytes: 1 << 26};
  const client = await connected();
  for (const n of upTo(10_001)) client.subscribe(`c${n}`);
  await settle();
  assert.deepEqual(sent('subscribe').map(({channels}) => channels.length), [10_000, 1]);
});

test('a channel may be subscribed to once at a time', async () => {
  const client = await connected();
  const first = client.subscribe('a');
  assert.throws(() => client.subscribe('a'), /there is a subscription to "a" already/);
  assert.equal(client.getSubscription('a'), first);
  first.unsubscribe();
  assert.equal(client.getSubscription('a'), undefined);
  client.subscribe('a');
});

test('unsubscribe ends it at once, and the server hears of it', async () => {
  const client = await connected();
  const {subscription, unsubscribed, numbers} = follow(client, 'a');
  await subscription.ready();
  subscription.unsubscribe();
  subscription.unsubscribe();
  assert.equal(subscription.state, 'unsubscribed');
  assert.deepEqual(unsubscribed, [{channel: 'a', reason: 'unsubscribed', error: null}]);
  server.publish('a');  // still on its way
  await settle();
  assert.deepEqual(sent('unsubscribe'), [{channels: ['a']}]);
  assert.deepEqual(numbers, []);
  await assert.rejects(subscription.ready(), {code: 'DISCONNECTED'});
});

test('what was not sent yet is not taken back', async () => {
  const client = await connected();
  client.subscribe('a').unsubscribe();
  client.subscribe('b');
  await settle();
  assert.deepEqual(sent('subscribe'), [{channels: [{channel: 'b'}]}]);
  assert.deepEqual(sent('unsubscribe'), []);
});

test('subscribing anew gets only what comes behind its own confirmation', async () => {
  const client = await connected();
  server.answers = false;
  const first = follow(client, 'a');
  await settle();
  first.subscription.unsubscribe();
  const second = follow(client, 'a');
  await settle();
  assert.deepEqual(server.socket.sent.slice(-3).map(({event}) => event),
      ['subscribe', 'unsubscribe', 'subscribe']);
  const [one, two, three] = server.socket.held.splice(0);
  server.socket.answer(one);
  server.publish('a');
  server.socket.answer(two);
  server.socket.answer(three);
  server.publish('a');
  assert.deepEqual([first.numbers, second.numbers], [[], [2]]);
  assert.equal(first.subscription.state, 'unsubscribed');
  assert.equal(second.subscription.state, 'subscribed');
});

test('what ends with its connection is not unsubscribed from the next', async () => {
  const client = await connected();
  const subscription = client.subscribe('a');
  await subscription.ready();
  subscription.unsubscribe();
  server.socket.drop();
  await clock.advance(1000);
  assert.equal(client.state, 'connected');
  assert.deepEqual(server.socket.sent.map(({type}) => type), ['ping']);
});

test('a refusal ends the subscription and nothing else', async () => {
  server.refuses.set('secret', 'FORBIDDEN');
  const client = makeClient();
  const {subscription, unsubscribed} = follow(client, 'secret');
  const other = client.subscribe('a');
  const ready = assert.rejects(subscription.ready(),
      {code: 'FORBIDDEN', message: '"secret": no secret'});
  await clock.advance(0);
  await ready;
  await other.ready();
  assert.equal(unsubscribed[0].error.code, 'FORBIDDEN');
  await assert.rejects(async () => {
    for await (const event of subscription) assert.fail(event);
  }, {code: 'FORBIDDEN'});
  server.socket.drop();
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe')[0].channels.map(({channel}) => channel), ['a']);
});

for (const code of ['UNAVAILABLE', 'RATE_LIMIT_EXCEEDED', 'INTERNAL_ERROR']) {
  test(`${code}: it is tried again, later each time`, async () => {
    server.refuses.set('a', code);
    const client = await connected();
    const subscription = client.subscribe('a');
    await clock.advance(100_000);
    const tries = sent('subscribe').length;
    assert.equal(tries > 5 && tries < 20, true, String(tries));
    server.refuses.clear();
    await clock.advance(20_000);
    assert.equal(subscription.state, 'subscribed');
  });
}

test('a refusal of the whole message counts for each channel', async () => {
  const client = await connected();
  server.answers = false;
  const [a, b] = ['a', 'b'].map((channel) => client.subscribe(channel));
  await settle();
  const [message] = server.socket.held.splice(0);
  server.answers = true;
  server.socket.refuse(message, 'UNAVAILABLE');
  assert.equal(a.state, 'subscribing');
  await clock.advance(2000);
  assert.deepEqual([a.state, b.state], ['subscribed', 'subscribed']);
});

test('a long subscribe that was refused for its rate is repeated, though the refusal names none',
    async () => {
      const client = await connected();
      server.answers = false;
      const subscriptions = upTo(200).map((n) => client.subscribe(`a-rather-long-name:${n}`));
      await settle();
      server.socket.held = [];
      server.answers = true;
      server.socket.refuse({}, 'RATE_LIMIT_EXCEEDED', 'too fast', null);
      await clock.advance(2000);
      assert.equal(subscriptions.every(({state}) => state === 'subscribed'), true);
    });

test('too many channels: the end for a new one, a matter of time for one that was subscribed',
    async () => {
      server.refuses.set('new', 'LIMIT_EXCEEDED');
      const client = await connected();
      const first = client.subscribe('new');
      const old = client.subscribe('old');
      await settle();
      assert.equal(first.state, 'unsubscribed');
      server.refuses.set('old', 'LIMIT_EXCEEDED');
      server.socket.drop();
      await clock.advance(5000);
      assert.equal(old.state, 'subscribing');
      server.refuses.clear();
      await clock.advance(20_000);
      assert.equal(old.state, 'subscribed');
    });

test('a refused one that ends leaves no timer', async () => {
  server.refuses.set('a', 'UNAVAILABLE');
  const client = await connected({pingInterval: 0});
  const subscription = client.subscribe('a');
  await settle();
  assert.equal(clock.timers, 1);
  subscription.unsubscribe();
  assert.equal(clock.timers, 0);
});

test('the server may end it', async () => {
  const client = await connected();
  const {subscription, unsubscribed} = follow(client, 'a');
  await subscription.ready();
  server.socket.notice('channel.unsubscribed', {channel: 'a', reason: 'permissions_changed'});
  server.socket.notice('channel.unsubscribed', {channel: 'b', reason: 'permissions_changed'});
  assert.equal(subscription.state, 'unsubscribed');
  assert.equal(unsubscribed[0].reason, 'permissions_changed');
  assert.equal(unsubscribed[0].error.code, 'FORBIDDEN');
});

test('an AbortSignal ends it', async () => {
  const client = await connected();
  const abort = new AbortController();
  const {subscription, unsubscribed} = follow(client, 'a', {signal: abort.signal});
  const loop = (async () => {
    for await (const event of subscription) assert.fail(event);
  })();
  await subscription.ready();
  abort.abort();
  await loop;  // without an error
  assert.equal(unsubscribed[0].reason, 'aborted');
  assert.equal(getEventListeners(abort.signal, 'abort').length, 0);
  const late = client.subscribe('b', {signal: abort.signal});
  assert.equal(late.state, 'unsubscribed');
  await settle();
  assert.deepEqual(sent('subscribe').length, 1);
  assert.deepEqual(sent('unsubscribe'), [{channels: ['a']}]);
});

test('a loop gets each event, and leaving it unsubscribes', async () => {
  const client = await connected();
  const subscription = client.subscribe('a');
  await subscription.ready();
  server.publish('a', 3);
  const numbers = [];
  for await (const {data} of subscription) {
    numbers.push(data.n);
    if (data.n === 2) server.publish('a', 2);
    if (data.n === 4) break;
  }
  assert.deepEqual(numbers, upTo(4));
  assert.equal(subscription.state, 'unsubscribed');
  assert.deepEqual(subscription.position, {epoch: 'e1', offset: 4});
});

test('leaving a loop leaves the other handlers', async () => {
  const client = await connected();
  const {subscription, numbers} = follow(client, 'a');
  await subscription.ready();
  server.publish('a');
  const loop = (async () => {
    for await (const event of subscription) if (event) break;
  })();
  server.publish('a');
  await loop;
  server.publish('a', 2);
  await settle();
  assert.equal(subscription.state, 'subscribed');
  assert.deepEqual(numbers, upTo(4));
});

test('next() may be called ahead', async () => {
  const client = await connected();
  const subscription = client.subscribe('a');
  const iterator = subscription[Symbol.asyncIterator]();
  const ahead = [iterator.next(), iterator.next(), iterator.next()];
  await subscription.ready();
  server.publish('a', 2);
  assert.deepEqual((await Promise.all(ahead.slice(0, 2))).map(({value}) => value.data.n), [1, 2]);
  subscription.unsubscribe();
  assert.deepEqual(await ahead[2], {value: undefined, done: true});
  assert.deepEqual(await iterator.next(), {value: undefined, done: true});
});

test('an event that was not taken before the end is not handed over', async () => {
  const client = await connected();
  const subscription = client.subscribe('a');
  const iterator = subscription[Symbol.asyncIterator]();
  await subscription.ready();
  server.publish('a', 2);
  subscription.unsubscribe();
  assert.deepEqual(await iterator.next(), {value: undefined, done: true});
});

test('a handler that another one has removed is not called', async () => {
  const client = await connected();
  const subscription = client.subscribe('a');
  let calls = 0;
  subscription.on('event', () => off());
  const off = subscription.on('event', () => ++calls);
  await subscription.ready();
  server.publish('a', 2);
  assert.equal(calls, 0);
});

test('a loop ends with the client', async () => {
  const client = await connected();
  const subscription = client.subscribe('a');
  const loop = (async () => {
    for await (const event of subscription) assert.fail(event);
    return 'over';
  })();
  await settle();
  client.disconnect();
  assert.equal(await loop, 'over');
});

test('events wait for the first handler', async () => {
  const client = await connected();
  const subscription = client.subscribe('a');
  await subscription.ready();
  server.publish('a', 3);
  assert.deepEqual(subscription.position, {epoch: 'e1', offset: 0});
  const numbers = [];
  const off = subscription.on('event', ({data}) => numbers.push(data.n));
  await settle();
  assert.deepEqual(numbers, upTo(3));
  off();
  server.publish('a');
  assert.deepEqual(numbers, upTo(3));
});

test('names that look like patterns only from afar are channels', async () => {
  const client = await connected();
  for (const [pattern, hits, misses] of [
    ['w:*', ['w:1', 'w:'], ['w', 'w:1:2', 'x:1']], ['w:**', ['w:1', 'w:1:2'], ['w', 'x:1']],
    ['**', ['w', 'w:1:2'], []], ['*:x', ['a:x'], ['a:y', 'x']], ['*', ['w'], ['w:1']],
    ['a*', ['a*'], ['ab']], ['**:b', ['**:b'], ['a:b']]]) {
    const {subscription, numbers} = follow(client, pattern);
    await subscription.ready();
    const send = (room) => server.socket.deliver({event: 'x', data: {n: room}, room});
    for (const room of [...hits, ...misses]) send(room);
    assert.deepEqual(numbers, hits, pattern);
    subscription.unsubscribe();
  }
});

test('what others are to see of the member goes with each subscribe', async () => {
  const client = await connected();
  const info = {name: 'Ana'};
  const {subscription} = follow(client, 'd:1', {info});
  const withState = follow(client, 'd:2', {info, state: true});
  client.subscribe('d:3');
  await settle();
  const entry = {channel: 'd:1', info};
  assert.deepEqual(sent('subscribe'), [{channel: 'd:2', state: true, info},
    {channels: [entry, {channel: 'd:3'}]}]);
  server.socket.drop();
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe')[1].channels[0], {...entry, recover: {epoch: 'e1', offset: 0}});
  assert.deepEqual([subscription.state, withState.subscription.state],
      ['subscribed', 'subscribed']);
  // Who comes and goes has no position.
  server.socket.notice('presence.joined', {channel: 'd:1', connection_id: 'c1', n: 'joined'});
  server.socket.notice('presence.left', {channel: 'd:1', connection_id: 'c1', n: 'left'});
  assert.deepEqual(subscription.position, {epoch: 'e1', offset: 0});
});
