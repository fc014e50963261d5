/** Handlers by event name.  What a handler throws is reported and stops nothing. */
export class Emitter {
  #handlers = new Map();
  #report;

  constructor(names, report) {
    for (const name of names) this.#handlers.set(name, new Set());
    this.#report = report;
  }

  /** Adds a handler; returns the function that removes it. */
  on(name, handler) {
    const handlers = this.#handlers.get(name);
    if (!handlers) {
      throw new TypeError(`no event "${name}"; there are ${[...this.#handlers.keys()].join(', ')}`);
    }
    if (typeof handler !== 'function') throw new TypeError(`"${name}": the handler is no function`);
    handlers.add(handler);
    return () => handlers.delete(handler);
  }

  count(name) {
    return this.#handlers.get(name).size;
  }

  /** Calls the handlers one after the other.  Returns a promise only if one of them did. */
  emit(name, value) {
    const handlers = this.#handlers.get(name);
    const left = [...handlers];
    const report = name === 'error' ? console.error : this.#report;
    const next = () => {
      while (left.length > 0) {
        const handler = left.shift();
        if (!handlers.has(handler)) continue;
        try {
          const result = handler(value);
          if (typeof result?.then === 'function') {
            return Promise.resolve(result).catch(report).then(next);
          }
        } catch (error) {
          report(error);
        }
      }
    };
    return next();
  }
}
