/**
 * What the server refused, or what the library could not do.  `code` is one of the server's error
 * codes (docs/protocol.md) or TIMEOUT or DISCONNECTED.
 */
export class FanwireError extends Error {
  constructor(code, message, more) {
    super(message);
    this.name = 'FanwireError';
    this.code = code;
    Object.assign(this, more);
  }
}

/** Whether the server forbids to connect again after this close code. */
export const isFinal = (code) => code === 4001 || (code >= 4500 && code <= 4999);

/** Whether a subscribe that was refused with this code may succeed later. */
export const isTemporary = (code) =>
    ['UNAVAILABLE', 'RATE_LIMIT_EXCEEDED', 'INTERNAL_ERROR'].includes(code);

/** Settles as `promise` does, at the latest after `ms` milliseconds or when the signal aborts. */
export function limited(promise, ms, what, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    const timer = setTimeout(
        () => reject(new FanwireError('TIMEOUT', `${what}: no answer within ${ms} ms`)), ms);
    signal?.addEventListener('abort', abort);
    promise.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    });
  });
}
