// A subscriber on the ws package: prints every frame it gets as one line, and what it was told
// when the connection ends.
//
//   node subscriber.js URL CHANNEL COUNT
//
// Ends after COUNT events of the channel.
'use strict';
const WebSocket = require('ws');

const [url, channel, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const socket = new WebSocket(url);
let seen = 0;
socket.on('open', () => socket.send(JSON.stringify(
    {type: 'request', id: 'js-1', event: 'subscribe', data: {channel}})));
socket.on('message', (text) => {
  console.log(text.toString());
  const message = JSON.parse(text);
  if (message.type === 'event' && message.room === channel && ++seen === count) socket.close(1000);
});
socket.on('ping', () => console.error('ping'));
socket.on('close', (code, reason) => {
  console.error(`closed ${code} ${reason}`);
  process.exit(seen === count ? 0 : 1);
});
socket.on('error', (error) => {
  console.error(String(error));
  process.exit(1);
});
