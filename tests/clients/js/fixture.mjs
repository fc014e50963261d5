// What the tests of the library share: a fake server, fake time, and a client of both.
import {afterEach, beforeEach} from 'node:test';
import {Client} from '../../../clients/js/src/index.js';
import {FakeClock, settle} from './fake_clock.mjs';
import {FakeServer} from './fake_server.mjs';

export {settle};
export let clock;
export let server;
let clients = [];
const random = Math.random;

/** Makes Math.random() return this. */
export const chance = (value) => Math.random = () => value;

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer();
  chance(0.5);
});

afterEach(() => {
  for (const client of clients) client.disconnect();
  clients = [];
  Math.random = random;
  clock.restore();
});

/** A client whose events are in `client.log` as [name, info], errors as [error, message]. */
export function makeClient(options = {}) {
  const client = new Client('ws://fake', {WebSocket: server.WebSocket, ...options});
  client.log = [];
  for (const name of ['connecting', 'connected', 'disconnected']) {
    client.on(name, (info) => client.log.push([name, info]));
  }
  client.on('error', (error) => client.log.push(['error', error.message]));
  clients.push(client);
  return client;
}

export async function connected(options) {
  const client = makeClient(options);
  client.connect();
  await clock.advance(0);
  return client;
}

/** A subscription that writes down what it sees; `handle` is its handler besides. */
export function follow(client, channel, options, handle) {
  const subscription = client.subscribe(channel, options);
  const seen = {subscription, numbers: [], gaps: [],
    subscribed: [], subscribing: [], unsubscribed: []};
  subscription.on('event', ({data}) => {
    seen.numbers.push(data.n);
    return handle?.(data.n);
  });
  subscription.on('gap', (gap) => seen.gaps.push(gap));
  for (const name of ['subscribed', 'subscribing', 'unsubscribed']) {
    subscription.on(name, (info) => seen[name].push(info));
  }
  return seen;
}

/** Does a fault to the server or its connection, for `dice` below 0.15: a cut link, lost events of
 *  channel 'a', a server that cannot be reached, held answers, delayed frames. */
export function disturb(dice, random) {
  const {socket} = server;
  if (dice < 0.04) {
    socket.drop();
  } else if (dice < 0.06) {
    socket.subscriptions.delete('a');
    server.publish('a', 2);
    socket.subscriptions.set('a', []);
  } else if (dice < 0.08) {
    server.reachable = !server.reachable;
  } else if (dice < 0.1) {
    server.answers = !server.answers;
    if (server.answers) socket.release();
  } else if (dice < 0.15) {
    server.delay = Math.floor(random() * 3) * 10;
  }
}

/** Ends all faults, and publishes once more on each channel, so that a loss shows itself. */
export async function recover(channels) {
  server.reachable = server.answers = true;
  server.delay = 0;
  server.socket.release();
  await clock.advance(5000);
  for (const channel of channels) server.publish(channel);
  await clock.advance(20_000);
}

/** The names of the log's entries. */
export const names = (client) => client.log.map(([name]) => name);

/** What the client sent on a connection with this event name. */
export const sent = (event, socket = server.socket) =>
    socket.sent.filter((message) => message.event === event).map(({data}) => data);

/** 1 to `count`, or from `first` on. */
export const upTo = (last, first = 1) =>
    Array.from({length: last - first + 1}, (unused, i) => first + i);

/** A promise and its functions. */
export function deferred() {
  const one = {};
  one.promise = new Promise((resolve, reject) => Object.assign(one, {resolve, reject}));
  return one;
}
