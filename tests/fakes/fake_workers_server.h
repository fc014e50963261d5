// FakeWorkersServer is control as a worker's link sees it: a gRPC server on a port of this machine
// that takes attachments, keeps what comes, answers heartbeats, and sends what the test wants.
//
// Threading: safe from every thread.
// Ownership: the test ends its workers' attachments, or the server, before it destroys it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

class FakeWorkersServer {
 public:
  FakeWorkersServer();
  ~FakeWorkersServer();

  // "127.0.0.1:PORT"; stays the same over restarts.
  std::string address() const;

  // Ends all streams and the server; begins again.
  void Stop();
  void Start();

  // ---- switches

  // Attachments are ended with it after their Hello; OK takes them.
  void set_refusal(absl::Status refusal);
  // While false, a Hello is not answered.
  void set_welcomes(bool welcomes);
  // While false, nothing is read behind the Hello.
  void set_reads(bool reads);
  // What a Welcome says; default 1 s.
  void set_heartbeat_interval_ms(int64_t ms);

  // ---- the newest attachment

  // Sends; false if there is none.
  bool Send(const v1::ControlMessage& message);
  // Ends it without a word.
  void Drop();

  // How many there were, and what came by the newest: messages, and their items in order.
  int attachments() const;
  std::vector<v1::WorkerMessage> messages() const;
  std::vector<v1::WorkerItem> items() const;
  // How many of the newest's items fit.
  int64_t Count(const std::function<bool(const v1::WorkerItem&)>& fits) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fanwire::fanout
