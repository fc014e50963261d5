// A bridge to `wsctl mcp` over the protocol's HTTP transport, for @modelcontextprotocol/conformance,
// which knows no other: each session is a process of its own.  Prints its URL.
//
//   node mcp_http.mjs COMMAND ARGUMENT...     the command is `wsctl ... mcp`
import {spawn} from 'node:child_process';
import {randomUUID} from 'node:crypto';
import {createServer} from 'node:http';
import {createInterface} from 'node:readline';

const [command, ...args] = process.argv.slice(2);
const sessions = new Map();

/// Starts a process; its answers go to the request that waits for their id.
function start() {
  const child = spawn(command, args, {stdio: ['pipe', 'pipe', 'inherit']});
  const waiting = new Map();
  createInterface({input: child.stdout}).on('line', (line) => {
    const id = JSON.parse(line).id;
    waiting.get(id)?.(line);
    waiting.delete(id);
  });
  return {child, waiting};
}

const server = createServer((request, response) => {
  const id = request.headers['mcp-session-id'];
  if (request.method === 'DELETE') {
    sessions.get(id)?.child.stdin.end();
    sessions.delete(id);
    return response.writeHead(200).end();
  }
  if (request.method !== 'POST') return response.writeHead(405).end();
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (part) => body += part);
  request.on('end', () => {
    const message = JSON.parse(body);
    const begins = message.method === 'initialize';
    const name = begins ? randomUUID() : id;
    if (begins) sessions.set(name, start());
    const session = sessions.get(name);
    if (session === undefined) return response.writeHead(404).end();
    session.child.stdin.write(`${JSON.stringify(message)}\n`);
    if (message.id === undefined) return response.writeHead(202).end();
    session.waiting.set(message.id, (line) => {
      response.writeHead(200, {'Content-Type': 'application/json', 'Mcp-Session-Id': name});
      response.end(line);
    });
  });
});
server.listen(0, '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${server.address().port}/mcp`));
process.on('SIGTERM', () => {
  for (const {child} of sessions.values()) child.stdin.end();
  server.close();
  server.closeAllConnections();
});
