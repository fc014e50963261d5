#!/usr/bin/env node
// Watches the workflows of mahavishnu, and shows each one's state as it changes: see monitor.py.
import {Client} from 'fanwire-client';

const [url = 'ws://127.0.0.1:8690'] = process.argv.slice(2);
if (url.startsWith('-')) {
  console.log(`Usage: monitor.mjs [URL]        default: ws://127.0.0.1:8690

Watches the workflows of mahavishnu, and shows each one's state as it changes.

    npm install --no-save ./clients/js ws         # Node 22 and newer do not need ws
    docs/examples/subscribe/monitor.mjs`);
  process.exit();
}
const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;

const STATES = {
  'workflow.started': 'running',
  'workflow.stage_completed': 'running',
  'workflow.completed': 'completed',
  'workflow.failed': 'failed',
};
const running = new Set();

function show(workflow, state, detail = '') {
  state === 'running' ? running.add(workflow) : running.delete(workflow);
  console.log(workflow.padEnd(24), state.padEnd(10), detail);
}

const client = new Client(url, {WebSocket});
client.on('connecting', () => console.log(url, 'connecting'));
client.on('connected', () => console.log(url, 'connected'));
process.on('SIGINT', () => client.disconnect());

const workflows = client.subscribe('global', {events: Object.keys(STATES)});
workflows.on('gap', async ({reason}) => {
  for (const workflow of running) {
    const ask = client.request('get_workflow_status', {workflow_id: workflow});
    const {status} = await ask.catch((error) => ({status: error.message}));
    show(workflow, status, `events are missing: ${reason}`);
  }
});
for await (const {event, data} of workflows) {
  show(data.workflow_id, STATES[event], data.stage_name ?? data.error);
}
