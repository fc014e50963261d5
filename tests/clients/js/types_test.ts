// Compiled, never run: what the types allow and what they do not.
import {
  Client, FanwireError, Subscription, type ChannelState, type EventData, type EventName,
  type FanwireEvent, type Gap, type History, type Position, type PresenceChange, type Services,
  type mahavishnu,
} from 'fanwire-client';
import WebSocket from 'ws';

declare module 'fanwire-client' {
  interface CustomEvents {
    'invoice.sent': { invoice_id: string; cents: number };
  }
}

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
const same = <A, B>(equal: Equal<A, B>) => equal;

const client = new Client('ws://127.0.0.1:8690', {WebSocket, getToken: async () => 'token'});
new Client('ws://127.0.0.1:8690', {getToken: () => null, timeout: 1, pingInterval: 0});
// @ts-expect-error there is no such option
new Client('ws://127.0.0.1:8690', {maxDelay: 1});
// @ts-expect-error the address is missing
new Client();
// @ts-expect-error a token is a text
new Client('ws://127.0.0.1:8690', {getToken: () => 5});

same<typeof client.state, 'connecting' | 'connected' | 'disconnected'>(true);
// @ts-expect-error it is only read
client.state = 'connected';
const off: () => void = client.on('connected',
    ({connection_id, limits}) => connection_id + limits.burst);
client.on('connecting', ({delay, code}) => delay + (code ?? 0));
client.on('disconnected', ({error}) => error?.closeCode);
// @ts-expect-error there is no such event
client.on('open', () => {});

async function subscriptions() {
  const all = client.subscribe('workflow:*');
  const one = client.subscribe('workflow:wf_1', {events: ['workflow.started', 'workflow.failed']});
  same<typeof one, Subscription<'workflow.started' | 'workflow.failed'>>(true);
  one.on('event', (event) => {
    same<typeof event.event, 'workflow.started' | 'workflow.failed'>(true);
    if (event.event === 'workflow.started') {
      same<typeof event.data, mahavishnu.WorkflowStarted>(true);
      event.data.workflow_id.toUpperCase();
    } else {
      event.data.error.toUpperCase();
    }
    // @ts-expect-error not of these
    if (event.event === 'pool.scaled') return;
  });
  for await (const event of all) {
    same<typeof event, FanwireEvent>(true);
    if (event.event === 'invoice.sent') event.data.cents.toFixed();
    event.offset?.toFixed();
    event.publisher?.user_id?.toUpperCase();
    event.room.toUpperCase();
  }
  const stateful = client.subscribe('workflow:wf_1', {state: true, events: ['workflow.failed']});
  same<typeof stateful, Subscription<'workflow.failed', true>>(true);
  stateful.on('state', ({state, offset, epoch, reason}) => [state?.status, offset, epoch, reason]);
  stateful.on('event', ({data}) => data.error.toUpperCase());
  for await (const item of stateful) {
    same<typeof item, FanwireEvent<'workflow.failed'> | ChannelState>(true);
    // @ts-expect-error a state has no data
    item.data;
    if (item.type === 'state') {
      same<typeof item, ChannelState>(true);
    } else {
      item.data.error.toUpperCase();
    }
  }
  for await (const item of client.subscribe('a', {state: false})) {
    same<typeof item, FanwireEvent>(true);
  }
  const perhaps = client.subscribe('a', {state: Math.random() < 0.5});
  for await (const item of perhaps) same<typeof item, FanwireEvent | ChannelState>(true);
  // @ts-expect-error it is true or false
  client.subscribe('a', {state: 'yes'});
  // @ts-expect-error a name that no event has
  client.subscribe('a', {events: ['workflow.begun']});
  // @ts-expect-error a position has both
  client.subscribe('a', {recover: {offset: 1}});
  // @ts-expect-error not made by applications
  new Subscription();
  one.on('gap', (gap: Gap) => gap.from ?? 0 - (gap.to ?? 0));
  one.on('subscribed', ({wasRecovering, recovered, reason}) => [wasRecovering, recovered, reason]);
  one.on('event', async () => {});
  // @ts-expect-error there is no such event
  one.on('message', () => {});
  const position: Position | null = (await one.ready()).position;
  client.subscribe('b', {recover: position ?? undefined, signal: new AbortController().signal});
  one.unsubscribe();
  client.getSubscription('a')?.unsubscribe();
}

async function requests() {
  const answer = await client.request('get_workflow_status', {workflow_id: 'wf_1'});
  const status: unknown = answer.status;
  const typed = await client.request<{ status: string }>('get_pool_status', {pool_id: 'local'});
  typed.status.toUpperCase();
  const history: History = await client.history('a', {limit: 5, since: {epoch: 'e', offset: 1}});
  history.events[0]?.event.toUpperCase();
  history.events[0]?.publisher?.connection_id.toUpperCase();
  // @ts-expect-error data is an object
  client.request('a', 5);
  const {members, total, more} = await client.presence('diagram:d1', {timeout: 5});
  members.map(({connection_id, user_id, info}) => [connection_id, user_id ?? '', info.name]);
  total.toFixed();
  same<typeof more, boolean | undefined>(true);
  const receipt = await client.publish('diagram:d1', 'cursor.moved',
      {user_id: 'ana', x: 1, y: 2}, {echo: false, timeout: 5});
  receipt.offset?.toFixed();
  same<typeof receipt.status, 'published' | 'conflated'>(true);
  client.publish('invoices', 'invoice.sent', {invoice_id: '1', cents: 5});
  client.publish('invoices', 'invoice.sent');
  // @ts-expect-error of another type
  client.publish('invoices', 'invoice.sent', {cents: '5'});
  // @ts-expect-error the server's own
  client.publish('a', 'presence.joined', {});
  // @ts-expect-error no event
  client.publish('a', 'invoice.begun', {});
  // @ts-expect-error echo is true or false
  client.publish('invoices', 'invoice.sent', {}, {echo: 'no'});
  client.subscribe('diagram:d1', {info: {name: 'Ana'}, events: ['presence.joined']})
      .on('event', ({data}) => {
        same<typeof data, PresenceChange>(true);
        data.user_id?.toUpperCase();
      });
  // @ts-expect-error it is an object
  client.subscribe('diagram:d1', {info: 'Ana'});
  try {
    await client.request('a', {}, {timeout: 5});
  } catch (error) {
    if (error instanceof FanwireError) error.code.toUpperCase();
  }
  return status;
}

same<EventData<'invoice.sent'>, { invoice_id: string; cents: number }>(true);
same<keyof Services & 'mahavishnu', 'mahavishnu'>(true);
const name: EventName = 'pool.scaled';
export {name, off, requests, subscriptions};
