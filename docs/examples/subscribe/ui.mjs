#!/usr/bin/env node
// Follows what fastblocks does to pages, components and the state of the application.
import {Client} from 'fanwire-client';

const [url = 'ws://127.0.0.1:8684'] = process.argv.slice(2);
if (url.startsWith('-')) {
  console.log(`Usage: ui.mjs [URL]        default: ws://127.0.0.1:8684

Follows what fastblocks does to pages, components and the state of the application.

    npm install --no-save ./clients/js ws         # Node 22 and newer do not need ws
    docs/examples/subscribe/ui.mjs`);
  process.exit();
}
const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;
const client = new Client(url, {WebSocket});
client.on('connecting', ({reason}) => reason && console.error(`${reason}; connecting again`));
process.on('SIGINT', () => client.disconnect());

const show = (what, text) => console.log(what.padEnd(24), text);
const state = new Map();  // path: value

function set(path, value) {
  if (state.get(path) !== value) show('state', `${path} = ${JSON.stringify(value)}`);
  state.set(path, value);
}

const handlers = {
  'component.mounted': ({component_id, page_id}) => show(component_id, `mounted in ${page_id}`),
  'component.rendered': ({component_id, html}) => show(component_id, html ?? 'rendered'),
  'component.unmounted': ({component_id}) => show(component_id, 'unmounted'),
  'ui.updated': ({component_id, changes}) => show(component_id, JSON.stringify(changes)),
  'page.rendered': ({page_id, duration_ms}) => show(page_id, `rendered in ${duration_ms} ms`),
  'render.failed': ({component_id, error}) => show(component_id, `cannot be rendered: ${error}`),
  'state.changed': ({state_path, new_value}) => set(state_path, new_value),
};
// One connection for all.  The server sends only events that have a handler.
for (const channel of ['component:*', 'ui:*', 'page:*', 'render', 'state']) {
  client.subscribe(channel, {events: Object.keys(handlers)})
      .on('event', ({event, data}) => handlers[event](data));
}
// Where values of the state may have been missed, the server is asked for them.
client.getSubscription('state').on('gap', async () => {
  for (const path of state.keys()) {
    set(path, (await client.request('get_state', {state_path: path})).value);
  }
});
