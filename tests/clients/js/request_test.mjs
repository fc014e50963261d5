// Requests and their answers.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {FanwireError} from '../../../clients/js/src/index.js';
import {clock, connected, makeClient, sent, server, settle} from './fixture.mjs';

test('a request resolves to the data of its answer', async () => {
  const client = await connected();
  assert.deepEqual(await client.request('get_workflow_status', {workflow_id: 'wf_1'}),
      {asked: 'get_workflow_status', workflow_id: 'wf_1'});
  await client.request('ping');
});

test('answers that come in another order reach their requests', async () => {
  const client = await connected();
  server.answers = false;
  const requests = ['a', 'b', 'c'].map((name) => client.request(name));
  server.socket.release(2, 0, 1);
  assert.deepEqual((await Promise.all(requests)).map(({asked}) => asked), ['a', 'b', 'c']);
});

test('an answer to nothing is ignored', async () => {
  const client = await connected();
  server.socket.respond({event: 'late', id: '77'}, {});
  server.socket.refuse({id: '77'}, 'FORBIDDEN');
  assert.equal(client.log.filter(([name]) => name === 'error').length, 0);
});

test('a refusal rejects with its code, message and reason', async () => {
  const client = await connected();
  await assert.rejects(client.request('unknown'),
      (error) => error instanceof FanwireError && error.code === 'UNKNOWN_REQUEST' &&
          error.message === 'Unknown request event: unknown');
});

test('a refusal that names no request is reported', async () => {
  const client = await connected();
  server.socket.refuse({}, 'DECODE_ERROR', 'what was that', null);
  assert.deepEqual(client.log.pop(), ['error', 'what was that']);
});

test('a request waits for the connection', async () => {
  server.delay = 100;
  const client = makeClient();
  const asked = client.request('a');
  await clock.advance(500);
  assert.deepEqual(await asked, {asked: 'a'});
});

test('a request that was given up is not sent later', async () => {
  server.reachable = false;
  const client = makeClient({timeout: 1000});
  const asked = assert.rejects(client.request('a'),
      {code: 'TIMEOUT', message: /a: no answer within/});
  await clock.advance(1000);
  await asked;
  server.reachable = true;
  await clock.advance(60_000);
  assert.equal(client.state, 'connected');
  assert.deepEqual(sent('a'), []);
});

test('a request without an answer ends by its own timeout, and nothing of it stays', async () => {
  const client = await connected();
  server.answers = false;
  const asked = assert.rejects(client.request('a', {}, {timeout: 50}), {code: 'TIMEOUT'});
  await clock.advance(50);
  await asked;
  server.socket.release();  // the late answer
  assert.equal(client.log.filter(([name]) => name === 'error').length, 0);
});

test('a request ends with its signal', async () => {
  const client = await connected();
  server.answers = false;
  const abort = new AbortController();
  const asked = assert.rejects(client.request('a', {}, {signal: abort.signal}),
      {name: 'AbortError'});
  abort.abort();
  await asked;
  await assert.rejects(client.request('b', {}, {signal: abort.signal}), {name: 'AbortError'});
  assert.deepEqual(sent('b'), []);
});

test('a request whose connection ends is rejected, not repeated', async () => {
  const client = await connected();
  server.answers = false;
  const asked = assert.rejects(client.request('a'), {code: 'DISCONNECTED', closeCode: 1012});
  await settle();
  server.socket.drop(1012);
  await asked;
  server.answers = true;
  await clock.advance(1000);
  assert.deepEqual(sent('a'), []);
});

test('a request that the server would not take is not sent', async () => {
  server.limits = {max_message_bytes: 300};
  const client = await connected();
  await assert.rejects(client.request('a', {text: 'ü'.repeat(150)}),
      {code: 'INVALID_REQUEST', message: /a: the message has 3\d\d bytes, the server takes 300/});
  await client.request('a', {text: 'ü'.repeat(80)});
  assert.equal(sent('a').length, 1);
});

test('a long request that was refused for its rate ends, though none is named', async () => {
  const client = await connected();
  server.answers = false;
  const long = assert.rejects(client.request('a', {text: 'x'.repeat(5000)}),
      {code: 'RATE_LIMIT_EXCEEDED'});
  const short = client.request('b');
  await settle();
  server.socket.refuse({}, 'RATE_LIMIT_EXCEEDED', 'too fast', null);
  await long;
  server.socket.release();
  assert.deepEqual(await short, {asked: 'b'});
});

test("the library's own requests are not the application's", async () => {
  const client = await connected();
  for (const name of ['auth', 'refresh_token', 'subscribe', 'unsubscribe']) {
    await assert.rejects(client.request(name), /the library itself sends/);
  }
});

test('history asks for what was given', async () => {
  const client = await connected();
  await client.history('a');
  const since = {epoch: 'e', offset: 3};
  await client.history('a', {limit: 5, since, reverse: true, timeout: 100});
  assert.deepEqual(sent('history'), [
    {channel: 'a'}, {channel: 'a', limit: 5, since, reverse: true}]);
});

test('presence and publish ask for what was given', async () => {
  const client = await connected();
  assert.deepEqual(await client.presence('d:1', {timeout: 5}), {asked: 'presence', channel: 'd:1'});
  assert.deepEqual(await client.publish('d:1', 'cursor.moved', {x: 1}),
      {asked: 'publish', channel: 'd:1', event: 'cursor.moved', data: {x: 1}});
  await client.publish('d:1', 'diagram.updated', undefined, {echo: false, timeout: 5});
  assert.deepEqual(sent('publish')[1],
      {channel: 'd:1', event: 'diagram.updated', data: {}, echo: false});
});

test('a publish whose connection ends is rejected, not repeated', async () => {
  const client = await connected();
  server.answers = false;
  const published = assert.rejects(client.publish('d:1', 'a.b'), {code: 'DISCONNECTED'});
  await settle();
  server.socket.drop();
  await published;
  server.answers = true;
  await clock.advance(5000);
  assert.deepEqual(sent('publish'), []);
});
