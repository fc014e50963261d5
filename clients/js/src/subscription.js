import {FanwireError} from './errors.js';

/** A channel, or the channels of a pattern, as the application sees them. */
export class Subscription {
  #feed;

  /** Made by Client.subscribe(). */
  constructor(feed) {
    this.#feed = feed;
  }

  get channel() {
    return this.#feed.channel;
  }

  get state() {
    return this.#feed.state;
  }

  get position() {
    return this.#feed.position;
  }

  on(name, handler) {
    return this.#feed.on(name, handler);
  }

  unsubscribe() {
    this.#feed.end(null, 'unsubscribed');
  }

  ready() {
    return new Promise((resolve, reject) => {
      const settle = () => {
        if (this.state === 'subscribing') return false;
        if (this.state === 'subscribed') {
          resolve(this);
        } else {
          reject(this.#feed.error ?? new FanwireError('DISCONNECTED',
              `"${this.channel}": unsubscribed before it was subscribed`));
        }
        return true;
      };
      if (settle()) return;
      const offs = ['subscribed', 'unsubscribed'].map((name) => this.on(name, () => {
        if (settle()) for (const off of offs) off();
      }));
    });
  }

  /**
   * Each event and state in turn.  Their handler is the loop's body: it has finished when the loop
   * asks for the next one, or ends.
   */
  [Symbol.asyncIterator]() {
    const feed = this.#feed;
    const waiting = [];  // calls of next() without an item
    let offered = null;  // an item without a call of next()
    let finish = () => {};
    let failed = false;
    const end = ({resolve, reject}) => {
      if (!feed.error || failed) return resolve({value: undefined, done: true});
      failed = true;
      reject(feed.error);
    };
    const offer = (value) => {
      if (waiting.length > 0) {
        waiting.shift().resolve({value, done: false});
        if (waiting.length > 0) return undefined;  // the next one is asked for already
      } else {
        offered = {value, done: false};
      }
      return new Promise((resolve) => finish = resolve);
    };
    const offs = [this.on('event', offer), this.on('state', offer),
      this.on('unsubscribed', () => {
        offered = null;
        for (const call of waiting.splice(0)) end(call);
        leave();
      })];
    const leave = () => {
      for (const off of offs) off();
      finish();
    };
    return {
      next: () => new Promise((resolve, reject) => {
        if (offered) {
          resolve(offered);
          offered = null;
        } else if (feed.phase === 'ended') {
          end({resolve, reject});
        } else {
          waiting.push({resolve, reject});
          finish();
        }
      }),
      return: async (value) => {
        leave();
        if (feed.listeners('event') === 0) {
          await feed.working;
          this.unsubscribe();
        }
        return {value, done: true};
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
