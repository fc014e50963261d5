#include "fanout/net/connection_group.h"

#include "common/check.h"

namespace fanwire::fanout {

ConnectionGroup::ConnectionGroup(const ConnectionOptions& options, EventLoop* loop,
                                 SendTable* table, ConnectionHost* host)
    : options_(options),
      loop_(loop),
      table_(table),
      host_(host),
      engine_context_(WsEngine::MakeContext(options.limits)),
      ping_(Frame::Make(Opcode::kPing, "", 0)),
      hook_(loop->AddTurnHook([this] { DestroyBuried(); })) {}

ConnectionGroup::~ConnectionGroup() {
  loop_->RemoveTurnHook(hook_);
  while (!connections_.empty()) connections_.back()->Die(CloseInfo());
  DestroyBuried();
}

Connection* ConnectionGroup::Add(int fd, const PeerAddress& peer, bool over_cap) {
  auto* connection = new Connection(this, fd, peer, over_cap);
  connection->index_ = static_cast<uint32_t>(connections_.size());
  connections_.push_back(connection);
  ++counters_.accepted;
  return connection;
}

void ConnectionGroup::ForEachOpen(absl::FunctionRef<void(Connection*)> fn) {
  // Nothing leaves the vector while this runs: closing is only begun, and finished by the loop.
  for (Connection* connection : connections_) {
    if (connection->open()) fn(connection);
  }
}

void ConnectionGroup::Bury(Connection* connection) {
  loop_->Unwatch(connection->fd());
  connection->Disarm();
  Connection* last = connections_.back();
  connections_[connection->index_] = last;
  last->index_ = connection->index_;
  connections_.pop_back();
  dead_.push_back(connection);
}

void ConnectionGroup::DestroyBuried() {
  for (Connection* connection : dead_) delete connection;
  dead_.clear();
}

}  // namespace fanwire::fanout
