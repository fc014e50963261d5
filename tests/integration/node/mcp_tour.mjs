// What both MCP clients do: every tool once, a cancelled call, progress, the resources.

/// Returns what the client saw.  `call` calls a tool with its arguments and the SDK's options.
export async function tour(client, call, channel) {
  const seen = {};
  seen.tools = (await client.listTools()).tools;
  const service = 'mahavishnu';
  const results = seen.results = {};
  const object = async (name, args, options) => {
    results[name] = (await call(name, args, options)).structuredContent;
  };
  await object('websocket_health_check', {});
  await object('websocket_get_status', {});
  await object('websocket_list_rooms', {service});
  await object('websocket_broadcast_test_event',
               {event_type: 'test.event', room: channel, data: {n: 1}});
  await object('websocket_get_metrics', {service: null});
  await object('list_services', {});
  await object('list_channels', {service});
  await object('list_connections', {service});
  await object('list_workers', {});
  await object('get_ledger', {});
  await object('engine_status', {});
  await object('get_catalog', {service});
  await object('get_history', {service, channel});

  // A tail that lasts until it has an event, while other calls are answered.
  let told = 0;
  const tail = call('tail_events', {service, pattern: channel, seconds: 30, limit: 1},
                    {onprogress: () => ++told});
  // Publishes until the tail has begun, however long that takes.
  let over = false;
  tail.finally(() => over = true);
  do {
    await object('publish_event', {service, channel, event: 'test.event', data: {n: 2}});
    await new Promise((resolve) => setTimeout(resolve, told > 0 ? 20 : 200));
  } while (!over);
  results.tail_events = (await tail).structuredContent;
  seen.progress = told;

  const abort = new AbortController();
  const long = call('tail_events', {service, pattern: 'nothing', seconds: 300},
                    {signal: abort.signal});
  setTimeout(() => abort.abort('enough'), 100);
  seen.cancelled = await long.then(() => 'answered', () => 'rejected');

  results.disconnect_clients =
      (await call('disconnect_clients', {service, user: 'nobody'})).structuredContent;
  seen.wrong = await call('get_history', {service});
  seen.unknown = await call('nope', {});
  seen.drain = await call('drain_worker', {worker: 'worker-0'});

  seen.resources = (await client.listResources()).resources;
  seen.templates = (await client.listResourceTemplates()).resourceTemplates;
  const uri = 'fanwire://docs/cli.md';
  seen.document = (await client.readResource({uri})).contents[0].text.slice(0, 7);
  seen.catalog = (await client.readResource({uri: 'fanwire://catalog/mahavishnu'})).contents[0];
  seen.missing = await client.readResource({uri: 'fanwire://docs/nope.md'})
      .then(() => null, (error) => error.code);
  return seen;
}
