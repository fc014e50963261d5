// Time that only the test moves on.
const real = {setTimeout, clearTimeout, setImmediate, now: Date.now};

/** Waits until nothing but a timer is left to do. */
export async function settle() {
  for (let i = 0; i < 3; ++i) await new Promise((resolve) => real.setImmediate(resolve));
}

export class FakeClock {
  #now = 1_800_000_000_000;
  #timers = new Map();
  #lastId = 0;

  constructor() {
    globalThis.setTimeout = (call, ms = 0) => {
      this.#timers.set(++this.#lastId, {call, at: this.#now + Math.max(0, ms)});
      return this.#lastId;
    };
    globalThis.clearTimeout = (id) => this.#timers.delete(id);
    Date.now = () => this.#now;
  }

  restore() {
    Object.assign(globalThis, {setTimeout: real.setTimeout, clearTimeout: real.clearTimeout});
    Date.now = real.now;
  }

  now() {
    return this.#now;
  }

  /** How many timers run. */
  get timers() {
    return this.#timers.size;
  }

  /** The machine sleeps: time passes and no timer runs. */
  sleep(ms) {
    this.#now += ms;
  }

  /** Lets `ms` pass: runs the timers that are due, in their order, and what follows from them. */
  async advance(ms) {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, {at}]) => at <= end)
          .sort(([a, one], [b, other]) => one.at - other.at || a - b)[0];
      if (!due) break;
      const [id, {call, at}] = due;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, at);
      call();
      await settle();
    }
    this.#now = Math.max(this.#now, end);
  }
}
