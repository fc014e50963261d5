// An MCP client on @modelcontextprotocol/client 2.x (Node 20 or newer), which asks statelessly, with
// protocol version 2026-07-28 in every request: prints what it saw as one JSON object.
//
//   node mcp_client_2.mjs CHANNEL COMMAND ARGUMENT...     the command is `wsctl ... mcp`
import {Client} from '@modelcontextprotocol/client';
import {StdioClientTransport} from '@modelcontextprotocol/client/stdio';
import {tour} from './mcp_tour.mjs';

const [channel, command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({command, args, env: process.env});
const client = new Client({name: 'fanwire-test', version: '1.0.0'},
                          {versionNegotiation: {mode: {pin: '2026-07-28'}}});
client.onerror = (error) => console.error(String(error));
await client.connect(transport);

const call = (name, args, options) => client.callTool({name, arguments: args}, options);
const seen = await tour(client, call, channel);
seen.server = client.getServerVersion();
seen.version = client.getNegotiatedProtocolVersion();
await client.close();
console.log(JSON.stringify(seen));
