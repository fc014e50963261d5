// Clients of fanwire-client, for the fault tests:
//
//   node js_client.mjs '{"clients": [{"url", "options", "token", "subscriptions": [{…}]}]}'
//
// A client's `token` {secret, lifetime, permissions, keep}: getToken makes one of `lifetime`
// seconds, or, with `keep`, returns the last one until it has expired.  A subscription has
// `channel`, `options`, and how it handles events: `loop` (by for await), `delay` (ms that each
// event takes), `hold` (the first event takes until the command "release").
//
// Reads a command a line: "report" prints one line of JSON, what each client has seen; "release"
// ends the wait of `hold`; "ask [CLIENT, METHOD, ARGUMENT…]" calls request() or history() and
// prints the answer or the error; "subscribe [CLIENT, {…}]" adds a subscription; "end"
// disconnects all, and the process ends by itself.
import {createHmac} from 'node:crypto';
import {createInterface} from 'node:readline';
import {Client} from 'fanwire-client';
import WebSocket from 'ws';

const {clients} = JSON.parse(process.argv[2]);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let release;
const released = new Promise((resolve) => release = resolve);

function mint({secret, lifetime, permissions = ['admin']}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Date.now() / 1000 + lifetime;
  const text = `${part({alg: 'HS256', typ: 'JWT'})}.${
      part({user_id: 'ana', permissions, exp})}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

function follow(client, {channel, options, delay, loop, hold}) {
  const subscription = client.subscribe(channel, options);
  const seen = {channel, numbers: [], gaps: [], states: [], subscribed: [], subscribing: [],
    ended: null};
  const handle = async (event) => {
    if (event.type === 'state') {
      seen.states.push({...event, after: seen.numbers.length, gaps: seen.gaps.length});
      return;
    }
    if (hold) await released;
    if (delay) await sleep(delay);
    seen.numbers.push(event.data.n);
  };
  subscription.on('gap', (gap) => seen.gaps.push({...gap, after: seen.numbers.length}));
  for (const name of ['subscribed', 'subscribing']) {
    subscription.on(name, (info) => seen[name].push(info));
  }
  subscription.on('unsubscribed', ({reason, error}) => seen.ended = [reason, error?.message]);
  if (loop) {
    (async () => {
      for await (const event of subscription) await handle(event);
    })().catch((error) => seen.thrown = error.code);
  } else {
    subscription.on('event', handle);
    subscription.on('state', handle);
  }
  return () => ({...seen, state: subscription.state, position: subscription.position});
}

function start({url, options, token, subscriptions}) {
  const seen = {connected: 0, closes: [], tokens: 0, errors: []};
  let last = null;
  const getToken = token && (() => {
    if (!token.keep || last === null || Date.now() > last.until) {
      last = {text: mint(token), until: Date.now() + token.lifetime * 1000};
      ++seen.tokens;
    }
    return last.text;
  });
  const client = new Client(url, {...options, getToken, WebSocket});
  client.on('connected', () => ++seen.connected);
  client.on('connecting', ({code, reason}) => seen.closes.push([code, reason]));
  client.on('error', (error) => seen.errors.push(String(error)));
  const reports = subscriptions.map((one) => follow(client, one));
  client.on('connected', (welcome) => seen.welcome = welcome);
  client.on('disconnected', ({code, reason}) => seen.disconnected = [code, reason]);
  const report = () =>
      ({...seen, state: client.state, subscriptions: reports.map((one) => one())});
  return {client, report, add: (one) => reports.push(follow(client, one))};
}

const started = clients.map(start);
for await (const command of createInterface({input: process.stdin})) {
  if (command === 'report') console.log(JSON.stringify(started.map(({report}) => report())));
  if (command === 'release') release();
  if (command.startsWith('ask ')) {
    const [number, method, ...more] = JSON.parse(command.slice(4));
    const answer = await started[number].client[method](...more).catch(
        ({code, message}) => ({code, message}));
    console.log(JSON.stringify(answer));
  }
  if (command.startsWith('subscribe ')) {
    const [number, one] = JSON.parse(command.slice(10));
    started[number].add(one);
  }
  if (command === 'end') break;
}
for (const {client} of started) client.disconnect();
process.stdin.destroy();
