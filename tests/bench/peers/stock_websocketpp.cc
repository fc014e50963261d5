// Peer: websocketpp as its tutorials use it: stock config, one send(hdl, payload) per connection.
//
//   peer_websocketpp PORT
//
// C++17: the library's endpoint classes do not compile as C++20.

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>

namespace {

using Server = websocketpp::server<websocketpp::config::asio>;
using Handle = websocketpp::connection_hdl;

bool Same(const Handle& a, const Handle& b) { return !a.owner_before(b) && !b.owner_before(a); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: peer_websocketpp PORT\n");
    return 2;
  }
  Server server;
  std::set<Handle, std::owner_less<Handle>> clients;
  server.clear_access_channels(websocketpp::log::alevel::all);
  server.clear_error_channels(websocketpp::log::elevel::all);
  server.init_asio();
  server.set_reuse_addr(true);
  server.set_tcp_post_init_handler([&server](Handle client) {
    websocketpp::lib::asio::error_code ignored;
    server.get_con_from_hdl(client)->get_raw_socket().set_option(
        websocketpp::lib::asio::ip::tcp::no_delay(true), ignored);
  });
  server.set_open_handler([&](Handle client) { clients.insert(client); });
  server.set_close_handler([&](Handle client) { clients.erase(client); });
  server.set_message_handler([&](Handle from, Server::message_ptr message) {
    for (const Handle& client : clients) {
      if (Same(client, from)) continue;
      websocketpp::lib::error_code ignored;
      server.send(client, message->get_payload(), websocketpp::frame::opcode::text, ignored);
    }
  });
  server.listen(static_cast<uint16_t>(std::atoi(argv[1])));
  server.start_accept();
  std::printf("ready\n");
  std::fflush(stdout);
  server.run();
}
