// An MCP client on @modelcontextprotocol/sdk 1.x, which begins with `initialize`: prints what it
// saw as one JSON object.  The SDK checks every result against the protocol's schema, and every
// structured result against the tool's output schema.
//
//   node mcp_client_1.mjs CHANNEL COMMAND ARGUMENT...     the command is `wsctl ... mcp`
import {Client} from '@modelcontextprotocol/sdk/client/index.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {tour} from './mcp_tour.mjs';

const [channel, command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({command, args, env: process.env});
const client = new Client({name: 'fanwire-test', version: '1.0.0'});
client.onerror = (error) => console.error(String(error));
await client.connect(transport);

const call = (name, args, options) =>
    client.callTool({name, arguments: args}, undefined, options);
const seen = await tour(client, call, channel);
seen.server = client.getServerVersion();
await client.ping();
await client.close();
console.log(JSON.stringify(seen));
