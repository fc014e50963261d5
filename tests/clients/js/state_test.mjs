// Subscriptions with the state of what their channel is about.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {chance, clock, connected, deferred, disturb, follow, makeClient, recover, sent, server,
  settle, upTo} from './fixture.mjs';

const at = (offset, epoch = 'e1') => ({epoch, offset});
const stateOf = (channel, n, epoch = 'e1') =>
    ({type: 'state', channel, state: {n}, epoch, offset: n, reason: null});

/** As follow(), and `order` has events as their number, states as 's' and gaps as 'FROM-TO'. */
function watch(client, channel, options, handle) {
  const order = [];
  const states = [];
  const seen = follow(client, channel, {state: true, ...options}, async (n) => {
    order.push(n);
    await handle?.(n);
  });
  seen.subscription.on('gap', ({from, to}) => {
    order.push(`${from}-${to}`);
  });
  seen.subscription.on('state', async (state) => {
    states.push(state);
    order.push(`s${state.offset}`);
    await handle?.('s');
  });
  return {...seen, order, states};
}

test('the state comes first, and exactly the later events follow', async () => {
  server.publish('a', 41);
  const client = await connected();
  const {subscription, order, states, subscribed} = watch(client, 'a', {events: ['test.event']});
  await subscription.ready();
  server.publish('a', 2);
  await settle();
  assert.deepEqual(sent('subscribe'), [{channel: 'a', events: ['test.event'], state: true}]);
  assert.deepEqual(order, ['s41', 42, 43]);
  assert.deepEqual(states, [stateOf('a', 41)]);
  assert.deepEqual(subscribed, [{channel: 'a', epoch: 'e1', offset: 41, wasRecovering: false,
    recovered: false, reason: null}]);
  assert.deepEqual(subscription.position, at(43));
});

test('each such subscription is a message of its own, the others still go in one', async () => {
  const client = await connected();
  const channels = ['a', 'b', 'c', 'd'];
  for (const channel of channels) client.subscribe(channel, {state: channel < 'c'});
  await settle();
  const stateful = ['a', 'b'].map((channel) => ({channel, state: true}));
  const others = {channels: ['c', 'd'].map((channel) => ({channel}))};
  assert.deepEqual(sent('subscribe'), [...stateful, others]);
  assert.deepEqual(channels.map((channel) => client.getSubscription(channel).state),
      channels.map(() => 'subscribed'));
});

test('answers that come late and in another order reach their subscriptions', async () => {
  server.answers = false;
  const client = makeClient();
  client.connect();
  await clock.advance(0);
  server.socket.held = [];  // the ping
  const seen = ['a', 'b', 'c'].map((channel) => watch(client, channel));
  await settle();
  server.publish('b', 2);  // before the subscribe is answered: only in the state
  server.delay = 30;
  server.answers = true;
  server.socket.release(2, 0, 1);
  server.publish('a', 1);
  server.publish('b', 3);
  assert.deepEqual(seen.map(({order}) => order), [[], [], []]);
  await clock.advance(30);
  assert.deepEqual(seen.map(({order}) => order), [['s0', 1], ['s2', 3, 4, 5], ['s0']]);
});

test('a loop gets states among the events, told by their type', async () => {
  server.publish('a', 2);
  const client = await connected();
  const subscription = client.subscribe('a', {state: true});
  const items = [];
  for await (const item of subscription) {
    items.push([item.type, item.type === 'state' ? item.state.n : item.data.n]);
    if (items.length === 1) server.publish('a', 2);
    if (items.length === 3) break;
  }
  assert.deepEqual(items, [['state', 2], ['event', 3], ['event', 4]]);
  assert.deepEqual(subscription.position, at(4));
  assert.equal(subscription.state, 'unsubscribed');
});

test('the position is null until the state is handled', async () => {
  server.publish('a', 5);
  const client = await connected();
  const gate = deferred();
  const {subscription, order} = watch(client, 'a', {}, () => gate.promise);
  await subscription.ready();
  server.publish('a');
  await settle();
  assert.deepEqual([order, subscription.position], [['s5'], null]);
  gate.resolve();
  await settle();
  assert.deepEqual([order, subscription.position], [['s5', 6], at(6)]);
});

test('a state waits for a handler, and events behind it for one of their own', async () => {
  const client = await connected();
  const subscription = client.subscribe('a', {state: true});
  await subscription.ready();
  server.publish('a', 2);
  const order = [];
  subscription.on('state', ({offset}) => order.push(`s${offset}`));
  await settle();
  assert.deepEqual([order, subscription.position], [['s0'], at(0)]);
  subscription.on('event', ({data}) => order.push(data.n));
  await settle();
  assert.deepEqual(order, ['s0', 1, 2]);
});

test('what could be recovered comes instead of another state', async () => {
  const client = await connected();
  const {subscription, order, gaps} = watch(client, 'a');
  await subscription.ready();
  server.publish('a', 2);
  server.socket.drop();
  server.publish('a', 2);
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe'), [{channel: 'a', recover: at(2), state: true}]);
  assert.deepEqual([order, gaps], [['s0', 1, 2, 3, 4], []]);
});

test('a connection that is lost before the answer', async () => {
  const client = await connected();
  server.answers = false;
  const {subscription, order} = watch(client, 'a');
  await settle();
  server.socket.drop();
  server.publish('a', 3);
  server.answers = true;
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe'), [{channel: 'a', state: true}]);
  assert.deepEqual([order, subscription.state], [['s3'], 'subscribed']);
});

test('what could not is a gap, and then another state', async () => {
  const client = await connected();
  const {subscription, order, gaps, states} = watch(client, 'a');
  await subscription.ready();
  server.publish('a', 2);
  server.historySize = 3;
  server.socket.drop();
  server.publish('a', 10);
  await clock.advance(1000);
  server.publish('a');
  await settle();
  assert.deepEqual(order, ['s0', 1, 2, '3-12', 's12', 13]);
  assert.deepEqual(gaps, [{channel: 'a', reason: 'history_expired', from: 3, to: 12, epoch: 'e1'}]);
  server.socket.drop();
  server.restart('a');
  server.publish('a', 4);
  await clock.advance(2000);
  server.publish('a');
  await settle();
  assert.deepEqual(order.slice(6), ['1-4', 's4', 5]);
  assert.deepEqual(states[2], stateOf('a', 4, 'e2'));
  assert.deepEqual(subscription.position, at(5, 'e2'));
});

test('a notice of skipped events is a gap, and no state follows it', async () => {
  const client = await connected();
  const {subscription, order} = watch(client, 'a');
  await subscription.ready();
  server.publish('a');
  server.channel('a').offset = 4;
  server.socket.notice('channel.skipped', {channel: 'a', from: 2, to: 4, reason: 'slow'});
  server.publish('a');
  await settle();
  assert.deepEqual(order, ['s0', 1, '2-4', 5]);
  assert.equal(sent('subscribe').length, 1);
});

test('a position from elsewhere: the state comes only if it cannot be recovered from', async () => {
  server.publish('a', 5);
  server.publish('b', 5);
  const client = await connected();
  const [a, b] = [['a', at(3)], ['b', at(3, 'e0')]].map(
      ([channel, recover]) => watch(client, channel, {recover}));
  await settle();
  assert.deepEqual([a.order, b.order], [[4, 5], ['1-5', 's5']]);
  assert.deepEqual(b.gaps[0].reason, 'epoch_changed');
});

for (const reason of ['too_large', 'events_missed', 'unavailable']) {
  test(`no state to be had is told as such: ${reason}`, async () => {
    server.publish('a', 2);
    server.states.set('a', {reason});
    const client = await connected();
    const {subscription, states, order} = watch(client, 'a');
    await subscription.ready();
    server.publish('a');
    await settle();
    assert.deepEqual(states,
        [{type: 'state', channel: 'a', state: null, epoch: 'e1', offset: 2, reason}]);
    assert.deepEqual([order, subscription.position], [['s2', 3], at(3)]);
  });
}

test('a channel without a status request ends the subscription, and only it', async () => {
  server.refuses.set('a', 'INVALID_REQUEST');
  const client = await connected();
  const {subscription, unsubscribed} = watch(client, 'a');
  const other = client.subscribe('b', {state: true});
  await assert.rejects(subscription.ready(), {code: 'INVALID_REQUEST', message: '"a": no a'});
  assert.equal(unsubscribed[0].reason, 'INVALID_REQUEST');
  await other.ready();
});

test('a refusal that passes is asked again, with the state', async () => {
  server.refuses.set('a', 'UNAVAILABLE');
  const client = await connected();
  const {subscription, order} = watch(client, 'a');
  await clock.advance(3000);
  server.publish('a', 3);
  server.refuses.clear();
  await clock.advance(20_000);
  assert.deepEqual([subscription.state, order], ['subscribed', ['s3']]);
  assert.equal(sent('subscribe').every(({state}) => state), true);
});

test('patterns have no state', async () => {
  const client = await connected();
  assert.throws(() => client.subscribe('a:*', {state: true}),
      {name: 'TypeError', message: /"a:\*": a pattern has no state/});
  assert.equal(client.getSubscription('a:*'), undefined);
  client.subscribe('a:*', {state: false});
});

test('a handler that is too slow for the history gets a gap and the state', async () => {
  const client = await connected({maxQueuedEvents: 4});
  const gates = [];
  const {subscription, order, subscribing} = watch(client, 'a', {}, () => {
    gates.push(deferred());
    return gates[gates.length - 1].promise;
  });
  await subscription.ready();
  server.historySize = 2;
  server.publish('a', 30);
  await settle();
  assert.deepEqual([subscription.state, subscribing], ['subscribing',
    [{channel: 'a', reason: 'slow_handler'}]]);
  for (let i = 0; i < 20; ++i) {
    gates[i]?.resolve();
    await settle();
  }
  server.publish('a');
  await settle();
  gates.forEach((gate) => gate.resolve());
  await settle();
  assert.deepEqual(order, ['s0', 1, 2, 3, 4, '5-30', 's30', 31]);
});

test('while nothing is handled, states of many connections become one', async () => {
  const client = await connected({maxQueuedBytes: 1000});  // room for two of them
  const gate = deferred();
  server.publish('a');
  const {subscription, order, gaps, states} = watch(client, 'a', {}, () => gate.promise);
  await subscription.ready();
  server.historySize = 0;
  for (const unused of upTo(5)) {
    server.socket.drop();
    server.publish('a', 2);
    await clock.advance(10_000);
    assert.equal(subscription.state, 'subscribed');
  }
  server.publish('a');
  assert.equal(subscription.state, 'subscribed');
  gate.resolve();
  await settle();
  assert.deepEqual(order, ['s1', '2-11', 's11', 12]);
  assert.deepEqual([gaps.length, states.length], [1, 2]);
});

test('the length of a waiting state counts', async () => {
  server.states.set('a', {text: 'x'.repeat(20_000)});
  const client = await connected({maxQueuedBytes: 10_000});
  const subscription = client.subscribe('a', {state: true});
  await subscription.ready();
  server.publish('a');
  await settle();
  assert.equal(subscription.state, 'subscribing');
  const kinds = [];
  for await (const {type} of subscription) {
    kinds.push(type);
    if (kinds.length === 2) break;
  }
  assert.deepEqual(kinds, ['state', 'event']);
});

test('what ends before its handler has the state brings nothing more', async () => {
  const client = await connected();
  const gate = deferred();
  const {subscription, order} = watch(client, 'a', {}, () => gate.promise);
  await subscription.ready();
  server.publish('a', 3);
  subscription.unsubscribe();
  gate.resolve();
  await settle();
  assert.deepEqual(order, ['s0']);
});

test('through delays, cuts, losses and restarts each state is followed by exactly the later events',
    async () => {
      let seed = 11;
      const random = () => (seed = seed * 48271 % 2147483647) / 2147483647;
      const client = await connected({minReconnectDelay: 20, maxReconnectDelay: 100, timeout: 300,
        pingInterval: 100});
      server.historySize = 6;
      const gate = () => new Promise((resolve) => setTimeout(resolve, random() * 4));
      const channels = ['a', 'b', 'c'];
      const views = channels.map((channel, i) => {
        const view = {next: null, epoch: null, states: 0, gaps: 0, events: 0};
        const subscription = client.subscribe(channel, {state: true, maxQueuedEvents: 10});
        subscription.on('state', ({state, offset, epoch}) => {
          assert.equal(state.n, offset);
          if (view.states++ > 0) assert.deepEqual([view.epoch, view.next], [epoch, offset + 1]);
          Object.assign(view, {epoch, next: offset + 1});
        });
        subscription.on('gap', ({from, to, epoch}) => {
          if (from !== null && epoch === view.epoch) assert.equal(from, view.next);
          Object.assign(view, {epoch, next: (to ?? view.next - 1) + 1, gaps: view.gaps + 1});
        });
        subscription.on('event', ({offset, epoch}) => {
          assert.deepEqual([epoch, offset], [view.epoch, view.next]);
          ++view.next;
          ++view.events;
          return i === 1 ? gate() : undefined;
        });
        return view;
      });
      await clock.advance(100);
      for (let round = 0; round < 600; ++round) {
        chance(random());
        for (const channel of channels) server.publish(channel, Math.floor(random() * 3));
        const dice = random();
        if (dice < 0.15) {
          disturb(dice, random);
        } else if (dice < 0.16) {
          server.socket.drop();
          server.restart('c');
        }
        await clock.advance(Math.floor(random() * 30));
      }
      await recover(channels);
      assert.deepEqual(client.log.filter(([name]) => name === 'error'), []);
      channels.forEach((channel, i) => {
        const {epoch, offset} = server.channel(channel);
        assert.deepEqual([views[i].epoch, views[i].next], [epoch, offset + 1]);
        assert.equal(views[i].gaps > 3 && views[i].states > 3 && views[i].events > 50, true,
            JSON.stringify(views[i]));
      });
    });
