// Peer: npm's ws.  Every text message goes to all other connections.
//
//   node node_server.js PORT
const {WebSocketServer} = require('ws');

const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(process.argv[2]), perMessageDeflate: false, backlog: 4096,
});
server.on('listening', () => console.log('ready'));
server.on('connection', (socket) => {
  socket.on('message', (message) => {
    for (const client of server.clients) {
      if (client !== socket) client.send(message, {binary: false});
    }
  });
});
