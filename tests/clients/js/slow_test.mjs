// Handlers that are slower than the events: bounded memory, and nothing lost where history has it.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {clock, connected, deferred, follow, sent, server, settle, upTo} from './fixture.mjs';

/** Handlers that finish one event for each call of step(). */
function stepper() {
  const gates = [];
  return {
    handle: () => {
      const gate = deferred();
      gates.push(gate);
      return gate.promise;
    },
    step: async (count = 1) => {
      for (let i = 0; i < count; ++i) {
        gates.shift()?.resolve();
        await settle();
      }
    },
  };
}

test('a full queue unsubscribes; when half is handled, pages of history follow', async () => {
  const client = await connected({maxQueuedEvents: 10});
  const {handle, step} = stepper();
  const seen = follow(client, 'a', {}, handle);
  await settle();
  server.publish('a', 11);  // one is with the handler
  await settle();
  assert.equal(seen.subscription.state, 'subscribed');
  server.publish('a', 9);
  await settle();
  assert.equal(seen.subscription.state, 'subscribing');
  assert.deepEqual(seen.subscribing, [{channel: 'a', reason: 'slow_handler'}]);
  assert.deepEqual(sent('unsubscribe'), [{channels: ['a']}]);
  server.publish('a', 5);
  await step(5);
  assert.equal(sent('history').length, 0);
  await step();
  const since = (offset) => ({channel: 'a', limit: 5, since: {epoch: 'e1', offset}});
  assert.deepEqual(sent('history'), [since(11)]);
  await step(5);
  assert.deepEqual(sent('history'), [since(11), since(16)]);
  assert.equal(seen.subscription.state, 'subscribing');
  await step(40);
  assert.deepEqual(sent('history'), [since(11), since(16), since(21)]);
  assert.deepEqual(sent('subscribe').slice(1),
      [{channels: [{channel: 'a', recover: {epoch: 'e1', offset: 25}}]}]);
  for (const message of server.channel('a').history) server.socket.deliver(message);
  await step(40);
  assert.deepEqual(seen.numbers, upTo(25));
  assert.deepEqual(seen.gaps, []);
  assert.equal(seen.subscription.state, 'subscribed');
  assert.equal(server.sockets.length, 1);
});

test('the texts of the events have a bound of their own', async () => {
  const client = await connected();
  const {handle, step} = stepper();
  const seen = follow(client, 'a', {maxQueuedBytes: 10_000}, handle);
  await settle();
  server.publish('a', 20, 'test.event', {text: 'x'.repeat(3000)});
  await settle();
  assert.equal(seen.subscription.state, 'subscribing');
  assert.deepEqual(sent('unsubscribe'), [{channels: ['a']}]);
  await step(40);
  assert.deepEqual(seen.numbers, upTo(20));
});

test('one slow subscription does not hold the others', async () => {
  const client = await connected({maxQueuedEvents: 5});
  const {handle} = stepper();
  const slow = follow(client, 'slow', {}, handle);
  const quick = follow(client, 'quick');
  await settle();
  for (const unused of upTo(30)) {
    server.publish('slow');
    server.publish('quick');
    await settle();
  }
  assert.deepEqual(slow.numbers, [1]);
  assert.deepEqual(quick.numbers, upTo(30));
});

test('without a handler no more waits either', async () => {
  const client = await connected({maxQueuedEvents: 5});
  const subscription = client.subscribe('a');
  await settle();
  server.publish('a', 30);
  await settle();
  assert.equal(subscription.state, 'subscribing');
  const numbers = [];
  for await (const {data} of subscription) {
    numbers.push(data.n);
    if (data.n === 30) break;
  }
  assert.deepEqual(numbers, upTo(30));
});

test('a lost connection does not end the pause', async () => {
  const client = await connected({maxQueuedEvents: 4});
  const {handle, step} = stepper();
  const {numbers, subscription, gaps} = follow(client, 'a', {}, handle);
  await settle();
  server.publish('a', 8);
  server.socket.drop();
  await clock.advance(1000);
  assert.equal(client.state, 'connected');
  assert.deepEqual(sent('subscribe'), []);
  await step(3);
  assert.deepEqual(sent('history')[0].since, {epoch: 'e1', offset: 5});
  await step(20);
  assert.deepEqual([numbers, gaps, subscription.state], [upTo(8), [], 'subscribed']);
});

test('half is handled while there is no connection', async () => {
  const client = await connected({maxQueuedEvents: 4});
  const {handle, step} = stepper();
  const {numbers, gaps} = follow(client, 'a', {}, handle);
  await settle();
  server.publish('a', 8);
  server.socket.drop();
  await step(5);
  await clock.advance(1000);
  await step(20);
  assert.deepEqual([numbers, gaps], [upTo(8), []]);
});

/** A follower whose queue of 4 has been full once, and waits for a page behind offset 5. */
async function waitingForAPage(options) {
  const client = await connected({maxQueuedEvents: 4});
  const {handle, step} = stepper();
  const seen = follow(client, 'a', options, handle);
  await settle();
  server.publish('a', 9, 'x');
  await settle();
  server.answers = false;
  await step(3);
  assert.deepEqual(server.socket.held.map(({event}) => event), ['history']);
  server.answers = true;
  return {...seen, step};
}

test('while a page is on its way no other is asked for', async () => {
  const {numbers, step} = await waitingForAPage();
  await step(2);
  assert.deepEqual(sent('history').length, 1);
  server.socket.release();
  await step(20);
  assert.deepEqual(numbers, upTo(9));
});

test('a connection that is lost before the page', async () => {
  const {numbers, gaps, step} = await waitingForAPage();
  server.socket.drop();
  await clock.advance(1000);
  assert.deepEqual(sent('subscribe')[0].channels[0].recover, {epoch: 'e1', offset: 5});
  await step(20);
  assert.deepEqual([numbers, gaps], [upTo(9), []]);
});

test('a page that is refused', async () => {
  const {numbers, gaps, step} = await waitingForAPage();
  server.socket.refuse(server.socket.held.pop(), 'UNAVAILABLE');
  await settle();
  assert.deepEqual(sent('subscribe')[1].channels[0].recover, {epoch: 'e1', offset: 5});
  await step(20);
  assert.deepEqual([numbers, gaps], [upTo(9), []]);
});

test('a page without events ends the pages, whatever it says', async () => {
  const {numbers, gaps, step} = await waitingForAPage();
  const request = server.socket.held.pop();
  server.socket.respond(request, {channel: 'a', epoch: 'e1', offset: 9, events: [], more: true});
  await settle();
  assert.equal(sent('history').length, 1);
  await step(20);
  assert.deepEqual([numbers, gaps], [upTo(9), []]);
});

test('a page for a subscription that has ended', async () => {
  const {subscription, numbers, step} = await waitingForAPage();
  subscription.unsubscribe();
  server.socket.release();
  await step(20);
  assert.deepEqual([numbers.length, subscription.state], [3 + 1, 'unsubscribed']);
  assert.equal(sent('subscribe').length, 1);
});

test('a page with events that are not wanted, or have expired', async () => {
  const filtered = await waitingForAPage({events: ['x']});
  server.publish('a', 2, 'y');
  server.publish('a', 1, 'x');
  server.socket.release();
  await filtered.step(20);
  assert.deepEqual([filtered.numbers, filtered.gaps], [[...upTo(9), 12], []]);
  filtered.subscription.unsubscribe();

  server.restart('a');
  const all = await waitingForAPage();
  const {history} = server.channel('a');
  history.splice(history.findIndex(({offset}) => offset === 6), 2);
  const front = history.findIndex(({offset}) => offset === 5);
  assert.equal(front >= 0, true);  // so that the page is complete
  server.socket.release();
  await all.step(20);
  assert.deepEqual(all.numbers, [...upTo(5), 8, 9]);
  assert.deepEqual(all.gaps, [{channel: 'a', reason: 'expired', from: 6, to: 7, epoch: 'e2'}]);
});

test('slower than the history: one gap', async () => {
  server.historySize = 10;
  const client = await connected({maxQueuedEvents: 4});
  const {handle, step} = stepper();
  const {numbers, gaps, subscription} = follow(client, 'a', {}, handle);
  await settle();
  server.publish('a', 100);
  await step(10);
  server.publish('a');
  await step(10);
  assert.deepEqual(numbers, [...upTo(5), 101]);
  assert.deepEqual(gaps,
      [{channel: 'a', reason: 'history_expired', from: 6, to: 100, epoch: 'e1'}]);
  assert.deepEqual(subscription.position, {epoch: 'e1', offset: 101});
});

test("a full queue takes no notice of skipped events either; they are told when it recovers",
    async () => {
      server.historySize = 1;
      const client = await connected({maxQueuedEvents: 2});
      const {handle, step} = stepper();
      const {numbers, gaps} = follow(client, 'a', {}, handle);
      await settle();
      server.publish('a', 3);
      server.socket.notice('channel.skipped', {channel: 'a', from: 4, to: 9, reason: 'slow'});
      Object.assign(server.channel('a'), {offset: 9, history: []});
      await step(10);
      assert.deepEqual(numbers, upTo(3));
      assert.deepEqual(gaps.map(({from, to}) => [from, to]), [[4, 9]]);
    });

test('a pattern drops what does not fit, until half is handled, and tells one gap', async () => {
  const client = await connected({maxQueuedEvents: 6});
  const {handle, step} = stepper();
  const seen = follow(client, 'a:*', {}, handle);
  const order = [];
  seen.subscription.on('gap', () => order.push(`gap after ${seen.numbers.length}`));
  await settle();
  server.publish('a:1', 20);
  await settle();
  assert.equal(seen.subscription.state, 'subscribed');
  await step(3);
  server.publish('a:1', 5);  // there is room, but still more than half waits
  await step(20);
  server.publish('a:1', 2);
  await step(20);
  assert.deepEqual(seen.numbers, [...upTo(7), 26, 27]);
  assert.deepEqual(seen.gaps,
      [{channel: 'a:*', reason: 'slow_handler', from: null, to: null, epoch: null}]);
  assert.deepEqual(order, ['gap after 7']);
  assert.deepEqual(sent('unsubscribe'), []);
});

test('ending a subscription that pauses sends nothing more for it', async () => {
  const client = await connected({maxQueuedEvents: 2});
  const {handle, step} = stepper();
  const {subscription, numbers} = follow(client, 'a', {}, handle);
  await settle();
  server.publish('a', 9);
  await settle();
  subscription.unsubscribe();
  await step(9);
  assert.deepEqual(numbers, [1]);
  assert.equal(sent('unsubscribe').length, 1);
  assert.equal(sent('subscribe').length, 1);
});
