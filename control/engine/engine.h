// Engine assigns positions to publications and keeps them for recovery.  Implementations may keep
// them in memory, on a disk or in a shared store.
//
// ChannelDirectory opens an EngineChannel for each channel.  All functions but Start() and Close()
// may be called while shards are locked, so they must not block or call back.  An engine that must
// wait for a disk or a network says so (a channel that opens later, kPending, kFetching) and calls
// back from a thread of its own, without locks.
//
// The order of one channel is kept.  Its callbacks come one at a time: first that it is open, then
// its appends in the order in which they were made, events without history among them.  No append
// changes head() before the callback that says that the channel is open has returned.
//
// A publication is routed only after the engine has acknowledged it.  Within an epoch, a position
// never stands for two different events; a failed append uses up no position.
//
// Life: Start(), then everything else, then Close().  After Close() nothing calls back, so whoever
// a callback belongs to must live until then.  Calls that come while Close() runs or later, or
// after a Start() that failed, do no harm: appends may be kFull, reads kClosed, and a channel that
// is opened then may never open.
//
// Threading: Engine is safe from every thread.  An EngineChannel is called with its channel's shard
//            locked; what the engine's own threads touch as well, the engine guards itself.
// Ownership: ChannelState owns the EngineChannels; the Engine outlives them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "control/config/history_policy.h"
#include "control/events/publication.h"

namespace fanwire::control {

// A summary of the history that a channel has now.
struct HistoryState {
  Position head;              // the last position assigned
  int64_t oldest_offset = 0;  // of history; 0: history is empty
  int64_t publications = 0;
  int64_t bytes = 0;  // of memory or disk
};

// A channel that holds history counts for this much memory in addition to the engine's own: about
// the size of ChannelState, its name and its entries in tables.
inline constexpr int64_t kChannelStateBytes = 400;

enum class ReadOutcome {
  kOk,
  kGone,      // the first requested publication is not kept any more
  kFetching,  // it is being fetched; the callback is called when the read should be tried again
  kClosed,    // the engine is closed, and the publication is not in memory
};

// Called once, from a thread of the engine, without Router's locks.
using EngineCallback = std::function<void(absl::Status)>;
using OpenedCallback = std::function<void()>;

class EngineChannel {
 public:
  virtual ~EngineChannel() = default;

  // The last position assigned and acknowledged.  While the channel is not open: none, and history
  // is empty.
  virtual Position head() const = 0;
  // Drops publications that are older than the policy allows, then returns what is left.
  virtual HistoryState Describe(absl::Duration now) = 0;
  virtual const HistoryPolicy& policy() const = 0;
  virtual void SetPolicy(const HistoryPolicy& policy, absl::Duration now) = 0;

  // Appends to `page` the publications from offset `after` + 1 on, at least one and at most up to
  // offset `until`, in order.  Stops early when the envelopes exceed `max_bytes`, and where an
  // engine that fetches has fetched no more.  Expired publications are included.  Calls
  // `make_ready` for a callback only if it returns kFetching.
  virtual ReadOutcome ReadAfter(int64_t after, int64_t until, size_t max_bytes, absl::Duration now,
                                std::vector<PublicationPtr>* page,
                                absl::FunctionRef<EngineCallback()> make_ready) = 0;

  // Returns the offset of the first publication in history that was received at `received` or
  // later, or the head's offset + 1 if there is none.  Several threads append, so that the times of
  // reception may be out of order by up to a second.  An engine that would have to read the times
  // from a disk or a network may return an earlier offset: whoever reads from there on skips what
  // was received before.
  virtual int64_t FirstSince(absl::Duration received) const = 0;

  // Drops publications that are older than the policy allows.  Returns whether history is now
  // empty.
  virtual bool Trim(absl::Duration now) = 0;

  // Returns when the oldest publication in history was received; InfiniteDuration if history is
  // empty.
  virtual absl::Duration oldest_received_at() const = 0;
  virtual void DropOldest() = 0;
};

// One publication to append, not sealed yet.
struct EngineAppend {
  EngineChannel* channel = nullptr;
  PublicationPtr publication;
  // Whether it gets a position and a place in history.  Otherwise it only keeps its place in the
  // order of the channel.
  bool keep = true;
};

// What an engine that survives a restart keeps beside an event and in the same write, so that the
// event is not published again when it comes again: see IdempotencyWindow and PublisherLog.  An
// event that was refused leaves none.  Texts are borrowed for the call.
struct EventRecord {
  absl::string_view service = {};
  absl::string_view channel = {};
  absl::string_view id = {};
  absl::string_view idempotency_key = {};  // empty: it has none
  uint64_t fingerprint = 0;                // of the event with this key
  absl::string_view publisher_id = {};     // empty: of no named publisher
  uint64_t seq = 0;                        // of the publisher
  uint64_t seq_fingerprint = 0;            // of the event with this seq

  bool empty() const { return idempotency_key.empty() && publisher_id.empty(); }
};

// An EventRecord that the engine has kept.  Of a record with a key and a seq it may give two.
struct KeptRecord {
  EventRecord event = {};
  Position position = {};        // of the event; offset 0: it had none
  absl::Duration received = {};  // monotonic
};

enum class AppendOutcome {
  kDone,         // all are sealed and kept
  kDoneCrowded,  // the same, and history is over its bound: drop the oldest publications
  kPending,      // the callback is called when they are kept, or with the reason why they are not
  kFull,         // too many publications are waiting already: none of these is kept
};

// What operators see of an engine.
struct EngineStatus {
  std::string path = {};             // of its files, or its server; empty: it has none
  int64_t history_bytes = 0;         // as history_bytes()
  int64_t max_history_bytes = 0;     // 0: no bound
  int64_t disk_bytes = 0;            // of its files
  int64_t waiting_publications = 0;  // appended, but not kept yet
  absl::Duration lag = {};           // for how long the oldest of these has waited
};

// A publication that another control has appended.
struct FedPublication {
  absl::string_view service;
  absl::string_view channel;
  bool mirror = false;  // a copy that a mirror rule made
  const PublicationPtr& publication;
};

// EngineFeed gets what an engine that several controls share tells without being asked.
//
// Of one channel, the calls come one at a time and in the order of offsets, together with the
// callbacks of the channel's own appends: each publication of the channel is told by exactly one of
// the two.  head() has moved when either is called.
//
// Threading: called on threads of the engine, without locks.  Texts live as long as the call.
class EngineFeed {
 public:
  virtual ~EngineFeed() = default;

  // A publication has come.  One without history has no position and keeps its place.  Of channels
  // that are not open here, too, as far as the engine hears of them.
  virtual void OnPublication(const FedPublication& fed) = 0;
  // Publications up to head() are not kept any more, and were never told.
  virtual void OnMissed(absl::string_view service, absl::string_view channel) = 0;
  // The channel has another epoch.  Nothing of the channel is told until Engine::Reopen() was
  // called and has called back.
  virtual void OnEpochChanged(absl::string_view service, absl::string_view channel) = 0;
  // Something was published to a channel that is not open here.  Opens it if somebody here wants
  // it; then its history ends before this publication, which is told next.
  virtual void OnUnopened(absl::string_view service, absl::string_view channel) = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;

  // "memory"; for people and metrics.
  virtual absl::string_view name() const = 0;

  // Makes the engine ready.  May take time.  An error says why the engine cannot be used.
  virtual absl::Status Start() = 0;
  // Ends what was begun: appends are kept or refused, and their callbacks called, those of fetches
  // too.  Those of channels that are not open yet may be dropped.  Blocks until the last callback
  // has returned.  Also after a Start() that failed; a second call does nothing.
  virtual void Close() = 0;

  // Opens a channel that is not open.  It has a new epoch, unless the engine has kept an earlier
  // one.  Calls `make_opened` for a callback only if the channel cannot be open at once.  Appends
  // may be made meanwhile.  If it cannot be opened, the engine refuses the channel's appends and
  // tries again until it can.
  virtual std::unique_ptr<EngineChannel> Open(absl::string_view service, absl::string_view channel,
                                              const HistoryPolicy& policy,
                                              absl::FunctionRef<OpenedCallback()> make_opened) = 0;

  // For engines that several controls share.  Call it before Start(); `feed` must live until
  // Close() has returned.  Other engines tell nothing.
  virtual void SetFeed(EngineFeed* /*feed*/) {}
  // Opens a channel again whose epoch has changed, as EngineFeed was told.  From this call to the
  // callback it is not open.  Other engines never ask for it.
  virtual void Reopen(EngineChannel* /*channel*/,
                      absl::FunctionRef<OpenedCallback()> /*make_opened*/) {}

  // Deletes the channel and its history, unless other controls share them.  When it is opened
  // again, it has a new epoch, if it was deleted.  The channel is open and no append of it is under
  // way.  A fetch that is under way still calls back.
  virtual void Forget(std::unique_ptr<EngineChannel> channel) = 0;

  // Seals and keeps all of `appends`, which are of different channels (an event and its mirrors),
  // and `record` with the position of the first of them; or none of these.  Calls `make_done` for a
  // callback only if it returns kPending.  The channels must live until the callback was called.
  virtual AppendOutcome Append(absl::Span<const EngineAppend> appends, const EventRecord& record,
                               absl::Duration now,
                               absl::FunctionRef<EngineCallback()> make_done) = 0;

  // Visits what is kept of records, in no order.  Call it between Start() and the first append.
  // May take time.
  virtual absl::Status VisitRecords(absl::FunctionRef<void(const KeptRecord&)> visit) = 0;

  // Returns the bytes that history takes, including the states of the channels that have history.
  virtual int64_t history_bytes() const = 0;
  // Returns by how many bytes history must shrink, 0 if it need not.  History shrinks a little
  // below its bound, so that the next append does not exceed the bound again.
  virtual int64_t excess_bytes() const = 0;
  // Whether history is over its bound, so that it must shrink now.
  virtual bool is_crowded() const = 0;

  // Returns OK if the engine can take publications now, otherwise why it cannot.
  virtual absl::Status Health() const = 0;
  // Returns what operators see of the engine.
  virtual EngineStatus status() const = 0;
  // Whether channels, their epochs and their history are still there after a restart of control.
  virtual bool survives_restart() const = 0;
};

}  // namespace fanwire::control
