import type {Envelope, Json, JsonObject, Services} from './events.js';

export * from './events.js';

/**
 * The events of your own services:
 *
 *     declare module 'fanwire-client' {
 *       interface CustomEvents { 'invoice.sent': { invoice_id: string; cents: number } }
 *     }
 */
export interface CustomEvents {}

type CatalogName = { [S in keyof Services]: keyof Services[S] & string }[keyof Services];
type CatalogData<Name extends string> = {
  [S in keyof Services]: Name extends keyof Services[S] ? Services[S][Name] : never;
}[keyof Services];

/** Who has come to a channel, or has left it. */
export interface PresenceChange {
  channel: string;
  /** Of the member's first connection to the channel, or of its last. */
  connection_id: string;
  /** Null: the member has no token, and is the connection. */
  user_id: string | null;
  info: JsonObject;
}

/** Events of the server itself, on channels whose members it tracks.  They have no offset. */
export interface ServerEvents {
  'presence.joined': PresenceChange;
  'presence.left': PresenceChange;
}

/** The name of an event that may be published: of the catalog, or of CustomEvents. */
export type PublishableName = CatalogName | (keyof CustomEvents & string);

/** The name of an event of the catalog, of CustomEvents or of ServerEvents. */
export type EventName = PublishableName | keyof ServerEvents;

/** The data of an event: a union if several services have one of this name. */
export type EventData<Name extends EventName> = Name extends keyof CustomEvents
  ? CustomEvents[Name]
  : Name extends keyof ServerEvents
    ? ServerEvents[Name]
    : CatalogData<Name>;

/** An event as handlers get it; `event.event` tells which one it is. */
export type FanwireEvent<Name extends EventName = EventName> = Name extends EventName
  ? Envelope<Name, EventData<Name>> & PublishedBy
  : never;

export interface PublishedBy {
  /** Of an event that a client has published.  `user_id` is null if it has no token. */
  publisher?: { connection_id: string; user_id: string | null };
}

/** A place in a channel: the event with this offset, and all before it, are done. */
export interface Position {
  epoch: string;
  offset: number;
}

/** What is used of a WebSocket class: that of browsers and of the package ws have it. */
export interface WebSocketLike {
  readonly readyState: number;
  onopen: any;
  onmessage: any;
  onclose: any;
  onerror: any;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export interface ClientOptions {
  /**
   * Returns a token.  It is called before each connection is opened, and when a token expires.
   * Nothing is sent if it returns null.
   */
  getToken?: () => string | null | undefined | Promise<string | null | undefined>;
  /** The n-th attempt begins after a random time up to this times 2ⁿ⁻¹.  Default 500 ms. */
  minReconnectDelay?: number;
  /** No wait is longer.  Default 20,000 ms. */
  maxReconnectDelay?: number;
  /** For the welcome, each answer, each pong and getToken.  Default 10,000 ms. */
  timeout?: number;
  /** A silent server is asked whether it is there after this time.  Default 25,000 ms; 0: never. */
  pingInterval?: number;
  /** How many events may wait for the handlers of one subscription.  Default 1000. */
  maxQueuedEvents?: number;
  /** How long the texts of these events may be together.  Default 8,388,608. */
  maxQueuedBytes?: number;
  /** The class of the package ws, where there is no global one. */
  WebSocket?: new (url: string) => WebSocketLike;
}

export interface SubscribeOptions<
  Name extends EventName = EventName,
  WithState extends boolean = boolean,
> {
  /** Only these events.  Default: all. */
  events?: readonly Name[];
  /** Begin behind this position, with the events that were missed. */
  recover?: Position;
  /** Begin with the state of what the channel is about: the event `state`.  Not for patterns. */
  state?: WithState;
  /** What others see of you in presence(), if the token has no claim `info`: up to 1 KiB. */
  info?: { readonly [key: string]: Json };
  /** Unsubscribes when it aborts. */
  signal?: AbortSignal;
  /** As in ClientOptions, for this subscription. */
  maxQueuedEvents?: number;
  maxQueuedBytes?: number;
}

export interface RequestOptions {
  signal?: AbortSignal;
  /** As in ClientOptions, for this request. */
  timeout?: number;
}

export interface HistoryOptions extends RequestOptions {
  /** How many events, up to 1000. */
  limit?: number;
  /** Only events behind this position. */
  since?: Position;
  /** The newest first. */
  reverse?: boolean;
}

export interface History {
  channel: string;
  epoch: string;
  /** The last offset of the channel. */
  offset: number;
  events: (Envelope & PublishedBy)[];
  /** There are more than `limit`. */
  more?: boolean;
  /** False if events behind `since` are not kept any more; `reason` says why. */
  complete?: boolean;
  reason?: string;
}

/** A connection that is subscribed to a channel by its name. */
export interface Member {
  connection_id: string;
  /** Null: it has no token. */
  user_id: string | null;
  info: JsonObject;
}

export interface Presence {
  channel: string;
  members: Member[];
  /** How many there are. */
  total: number;
  /** The list does not have all of them. */
  more?: boolean;
}

export interface PublishOptions extends RequestOptions {
  /** False: this connection does not get the event.  Default true. */
  echo?: boolean;
}

export interface Published {
  /** conflated: a newer event of this client took its place before it was sent. */
  status: 'published' | 'conflated';
  channel: string;
  /** The event's position; absent if it skips history. */
  epoch?: string;
  offset?: number;
}

/** The server's welcome. */
export interface Welcome {
  connection_id: string;
  server: string;
  message: string;
  authenticated: boolean;
  session_expires_at: string | null;
  recoverable: boolean;
  limits: { [name: string]: number };
  [key: string]: unknown;
}

export interface Connecting {
  /** 0: the first, at once; then how many attempts have begun since the last one that lasted. */
  attempt: number;
  /** Milliseconds until it begins. */
  delay: number;
  /** Why: the close code, and its reason or what was wrong. */
  code: number | null;
  reason: string | null;
}

export interface Disconnected {
  /** The close code. */
  code: number;
  reason: string;
  /** Null after disconnect(). */
  error: FanwireError | null;
}

export interface ClientEvents {
  connecting: Connecting;
  connected: Welcome;
  disconnected: Disconnected;
  /** What a handler or getToken threw, or the server refused.  By default to console.error. */
  error: unknown;
}

export interface Subscribing {
  channel: string;
  reason: string;
}

export interface Subscribed {
  channel: string;
  /** The position of the confirmation; null for patterns. */
  epoch: string | null;
  offset: number | null;
  /** It was subscribed before, or began with `recover`. */
  wasRecovering: boolean;
  /** Every missed event follows. */
  recovered: boolean;
  /** Why not, if it was recovering.  The event `gap` follows. */
  reason: string | null;
}

export interface Unsubscribed {
  channel: string;
  reason: string;
  error: FanwireError | null;
}

/** Events of the channel were lost.  Get the state that you need anew. */
export interface Gap {
  channel: string;
  reason: string;
  /** The offsets in `epoch` that are missing; null if it is not known which. */
  from: number | null;
  to: number | null;
  epoch: string | null;
}

/** What the channel is about, after all events up to `offset`.  Exactly the later events follow. */
export interface ChannelState {
  /** Tells it from an event. */
  type: 'state';
  channel: string;
  /** What the channel's status request answers; null: the server has no state to give. */
  state: JsonObject | null;
  epoch: string | null;
  offset: number | null;
  /** Why there is no state: too_large, events_missed or unavailable.  Else null. */
  reason: string | null;
}

export interface SubscriptionEvents<Name extends EventName = EventName> {
  subscribing: Subscribing;
  subscribed: Subscribed;
  unsubscribed: Unsubscribed;
  event: FanwireEvent<Name>;
  gap: Gap;
  state: ChannelState;
}

/** What a loop over a subscription gets; the `type` is 'event' or 'state'. */
export type SubscriptionItem<Name extends EventName, WithState extends boolean> =
  | FanwireEvent<Name>
  | (WithState extends true ? ChannelState : never);

/** A channel, or the channels of a pattern.  Made by Client.subscribe(). */
export class Subscription<
  Name extends EventName = EventName,
  WithState extends boolean = false,
> implements AsyncIterable<SubscriptionItem<Name, WithState>> {
  private constructor();
  readonly channel: string;
  readonly state: 'subscribing' | 'subscribed' | 'unsubscribed';
  /** Of the last item whose handlers have finished; null for patterns, and at first. */
  readonly position: Position | null;

  /**
   * Adds a handler; returns the function that removes it.  Handlers of `event`, `gap` and `state`
   * are called one after the other: if one returns a promise, everything behind it waits.
   */
  on<Kind extends keyof SubscriptionEvents>(
    kind: Kind,
    handler: (value: SubscriptionEvents<Name>[Kind]) => unknown,
  ): () => void;
  /** Resolves when subscribed; rejects if the subscription ends before. */
  ready(): Promise<this>;
  unsubscribe(): void;
  /** Each event and state.  Leaving the loop unsubscribes unless there are other handlers. */
  [Symbol.asyncIterator](): AsyncIterableIterator<SubscriptionItem<Name, WithState>>;
}

/** One WebSocket to one service's port, for all its subscriptions and requests. */
export class Client {
  /** Connects with the first use. */
  constructor(url: string, options?: ClientOptions);
  readonly url: string;
  readonly state: 'connecting' | 'connected' | 'disconnected';

  /** Adds a handler; returns the function that removes it. */
  on<Kind extends keyof ClientEvents>(
    kind: Kind,
    handler: (value: ClientEvents[Kind]) => unknown,
  ): () => void;
  connect(): void;
  /** Closes the connection and ends every subscription. */
  disconnect(): void;
  /** Resolves when connected; rejects when disconnected. */
  ready(): Promise<void>;
  /** `channel` may be a pattern.  Throws if there is a subscription to it already. */
  subscribe<Name extends EventName = EventName, WithState extends boolean = false>(
    channel: string,
    options?: SubscribeOptions<Name, WithState>,
  ): Subscription<Name, WithState>;
  getSubscription(channel: string): Subscription<EventName, boolean> | undefined;
  /** Asks the service; resolves to the answer's data, rejects with FanwireError. */
  request<Answer = JsonObject>(
    name: string,
    data?: { readonly [key: string]: Json },
    options?: RequestOptions,
  ): Promise<Answer>;
  history(channel: string, options?: HistoryOptions): Promise<History>;
  /** Who is subscribed to a channel whose members the server tracks. */
  presence(channel: string, options?: RequestOptions): Promise<Presence>;
  /** Publishes an event, where the service lets clients do so. */
  publish<Name extends PublishableName>(
    channel: string,
    event: Name,
    data?: Partial<EventData<Name>>,
    options?: PublishOptions,
  ): Promise<Published>;
}

/** What the server refused, or what could not be done. */
export class FanwireError extends Error {
  private constructor();
  /** One of the server's error codes, TIMEOUT or DISCONNECTED. */
  readonly code: string;
  /** Of DISCONNECTED, if a connection has ended. */
  readonly closeCode?: number;
}
