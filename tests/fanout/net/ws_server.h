// WsServer is the WebSocket layer as a worker sets it up (loop, listener, connections), with an
// application that echoes, on a thread of its own.
//
// Threading: made, used and destroyed by the test's thread; hooks run on the loop's.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"
#include "fanout/net/connection.h"
#include "fanout/net/connection_group.h"
#include "fanout/net/event_loop.h"
#include "fanout/net/listener.h"
#include "fanout/net/socket.h"

namespace fanwire::fanout {

class WsServer final : public ConnectionHost {
 public:
  struct Hooks {
    std::function<void(Connection*)> on_open;
    std::function<void(Connection*, absl::string_view)> on_text;  // instead of the echo
    std::function<void(Connection*)> on_drained;
    // Returns whether the upgrade is refused.
    std::function<bool(const HttpRequest&, HttpResponse*)> refuse;
  };

  explicit WsServer(const ConnectionOptions& options = {}, Hooks hooks = {},
                    const ListenerOptions& listener_options = {});
  ~WsServer();

  uint16_t port() const { return port_; }

  // Runs `fn` on the loop and waits until it has run.
  void OnLoop(const std::function<void()>& fn);

  // The connection opened last.  Loop only.
  Connection* last_opened() { return last_opened_; }
  ConnectionGroup* group() { return group_.get(); }
  Listener* listener() { return listener_.get(); }
  SendTable* table() { return &table_; }
  EventLoop* loop() { return &loop_; }

  // Returns when the loop has run for `time` more.
  void Pass(absl::Duration time);

  ConnectionCounters counters();
  size_t connections();

  // Waits until `condition`, which is tried again after each turn of the loop, holds; false after
  // 5 s.
  bool Await(const std::function<bool()>& condition);

  // How the next connection ended, in order; nothing after 5 s.
  std::optional<CloseInfo> WaitForClosed();

 private:
  class Echo;

  ConnectionHandler* OnUpgrade(Connection* connection, const HttpRequest& request,
                               HttpResponse* refusal) override;
  bool OnHttpRequest(const HttpRequest& request, HttpResponse* response) override;

  const Hooks hooks_;
  EventLoop loop_;
  SendTable table_;
  std::unique_ptr<ConnectionGroup> group_;
  std::unique_ptr<Listener> listener_;
  Connection* last_opened_ = nullptr;
  uint16_t port_ = 0;

  Mutex mu_;
  CondVar closed_changed_;
  std::deque<CloseInfo> closed_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;
};

}  // namespace fanwire::fanout
