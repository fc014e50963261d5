// FeedSequencer puts what happens in the channels of the redis engine into the order of their
// offsets, and tells it on its thread: channels that are open, appends that are kept, publications
// of other controls.
//
// The answers to this control's appends and the messages of other controls come over different
// connections.  Each has its channel's epoch and an offset, and waits here until all before it were
// told.  If one is missing for long, it is read from history.  What was appended here is told by
// its callback alone: the message that the server sends of it is ignored.
//
//   answers of appends (RedisWriter) --.
//   messages (RedisListener) ----------+--> by channel and offset --> callbacks, EngineFeed
//   history, the server's log ---------'
//
// Threading: safe from every thread.  Everything is told on its thread, without locks.
// Ownership: borrows feed, cache and clock, and shares the channels.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/engine/disk_channel.h"
#include "control/engine/engine.h"
#include "control/engine/history_cache.h"
#include "control/engine/redis_options.h"
#include "control/engine/redis_session.h"

namespace fanwire::control {

// Appends of one event: its origin and its mirrors.
struct OwnAppend {
  struct Item {
    DiskChannelPtr channel;
    std::string in_keys;  // RedisName()
    PublicationPtr publication;
    bool keep = true;
    int64_t bytes = 0;  // as the server stores it
    // As the server has answered.
    Epoch epoch = {};
    int64_t offset = 0;  // if it is not kept: of the publication before it
    bool ready = false;  // everything before it was told
  };
  std::vector<Item> items;
  EngineCallback done;  // null: it has ended
  size_t ready = 0;     // items
};
using OwnAppendPtr = std::shared_ptr<OwnAppend>;

class FeedSequencer {
 public:
  // `node` is this control's name in messages.
  FeedSequencer(const RedisOptions& options, std::string node, EngineFeed* feed,
                HistoryCache* cache, const Clock* clock);
  ~FeedSequencer();
  FeedSequencer(const FeedSequencer&) = delete;
  FeedSequencer& operator=(const FeedSequencer&) = delete;

  void Start();
  // Tells what can be told, ends the other appends with an error, and ends the thread.
  void Stop();

  void Open(const DiskChannelPtr& channel, OpenedCallback opened);
  void Reopen(const DiskChannelPtr& channel, OpenedCallback opened);
  void Forget(const DiskChannelPtr& channel);

  // The server has answered.
  void Add(std::vector<OwnAppendPtr> appends);
  // They were not kept, as far as is known.
  void Refuse(std::vector<OwnAppendPtr> appends, const absl::Status& status);

  // What another control has appended.
  struct Message {
    std::string name;  // RedisName()
    Epoch epoch;
    int64_t offset = 0;  // if it is only passed on: of the publication before it
    bool keep = true;
    bool mirror = false;
    PublicationPtr publication;
  };
  // Blocks while very many wait to be told.  Whoever hears messages then reads no more of them, so
  // that the server keeps them, and ends the connection if they are too many.
  void Add(std::vector<Message> messages);

  // Messages may have been lost.
  void CheckAll();

  // OK, or why the server cannot be asked.
  absl::Status Health() const;

 private:
  // One publication that has not been told.
  struct Arrival {
    Epoch epoch;
    int64_t offset = 0;
    bool keep = true;
    bool mirror = false;
    PublicationPtr publication = {};
    OwnAppendPtr own = nullptr;  // null: of another control
    size_t item = 0;
  };
  // Its place in a channel: offset, 1 if it is only passed on and so comes behind it, and a number
  // that keeps those of one place in order.
  using Place = std::tuple<int64_t, int, uint64_t>;

  struct Node {
    DiskChannelPtr channel;
    std::string service;
    std::string name;     // the channel's
    std::string in_keys;  // RedisName()
    enum class State { kOpening, kOpen, kOver } state = State::kOpening;
    OpenedCallback opened;
    Epoch epoch;
    int64_t told = 0;    // the last offset that was told
    int64_t target = 0;  // the last offset that is known to exist
    std::map<Place, Arrival> early;
    std::deque<Arrival> held;  // while it is not open
    int64_t own_here = 0;      // of `early` and `held`, those of this control
    absl::Duration fill_at = absl::InfiniteDuration();
    // The offset that is missing, and since when.
    int64_t hole = 0;
    absl::Duration hole_since = {};
  };
  using NodePtr = std::shared_ptr<Node>;

  struct Opening {
    DiskChannelPtr channel;
    OpenedCallback opened;
    bool again = false;
  };
  struct Forgotten {
    DiskChannelPtr channel;
  };
  struct Refused {
    OwnAppendPtr append;
    absl::Status status;
  };
  struct CheckTask {};
  using Task = std::variant<Opening, Forgotten, OwnAppendPtr, Refused, Message, CheckTask>;

  void Post(Task task);
  void Run();
  // When the thread has something to do without a task.
  absl::Duration NextTime() const;
  void Do(Task* task);
  // Makes the nodes of channels that are to be opened, before other tasks are done.
  void TakeOpenings();
  void Register(Opening opening);

  void OpenNodes();
  void OpenNode(const NodePtr& node, const RedisSession::Head& head);
  // Asks the server for the heads of all channels that are open.
  void Check();
  // Asks for those that the server would forget soon.
  void Refresh();
  // Asks for those that are wanted.  Returns false if the server does not answer.
  bool CheckWhere(absl::FunctionRef<bool(const Node& node)> wanted);
  // Notes that the channel's publications go up to `offset` at least.
  void Expect(const NodePtr& node, int64_t offset, absl::Duration patience);
  void LookAtLog();
  // Reads what is missing of the channels whose time has come.
  void Fill();
  void Fill(const NodePtr& node);
  // The channel has another epoch, as it seems.
  void Leave(const NodePtr& node, Epoch epoch);

  void Arrive(const NodePtr& node, Arrival arrival);
  // An answer of an append that is of no use any more.
  void Lose(const NodePtr& node, const Arrival& arrival);
  void Drain(NodePtr node);
  // Ends an append all of whose items are ready.
  void Complete(const OwnAppendPtr& append, std::vector<NodePtr>* touched);
  void TellOther(const NodePtr& node, const Arrival& arrival);
  void End(const OwnAppendPtr& append, const absl::Status& status);
  void Tell(absl::Status health);

  NodePtr Find(const std::string& in_keys) const;

  const RedisOptions options_;
  const std::string node_;
  EngineFeed* const feed_;
  HistoryCache* const cache_;
  const Clock* const clock_;
  RedisSession session_;
  std::thread thread_;

  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  CondVar taken_;  // the thread has taken what waited
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  absl::Status health_ ABSL_GUARDED_BY(mu_);

  // Only touched by the thread.  Times of Clock::Real().
  absl::flat_hash_map<std::string, NodePtr> nodes_;  // by RedisName()
  std::vector<NodePtr> opening_;
  std::vector<NodePtr> filling_;
  bool check_ = false;
  std::string log_;  // the last entry of the server's log that was seen
  uint64_t next_place_ = 0;
  absl::Duration next_try_ = {};
  absl::Duration next_look_ = {};
  absl::Duration next_refresh_ = {};
  absl::Duration next_full_refresh_ = {};
};

}  // namespace fanwire::control
