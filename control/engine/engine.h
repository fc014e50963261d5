// Engine is where publications get their positions and stay for recovery.  There may be several
// homes (memory; a disk or a shared store later) behind this one interface.
//
// Router opens an EngineChannel per channel and calls it under the channel's lock: an engine's
// channel therefore needs no lock of its own, and none of these calls may block or call back into
// Router.  An engine that must wait for something (a disk, a network) says so and calls back later.
//
// A publication is routed only after the engine has acknowledged it, and a position never means two
// events under one epoch.
//
// Threading: Engine is safe from every thread; an EngineChannel is guarded by Router's channel
// lock. Ownership: Router owns the channels; the Engine outlives them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "control/config/history_policy.h"
#include "control/events/publication.h"

namespace fanwire::control {

// What of a channel is kept right now.
struct HistoryState {
  Position head;              // the last position assigned
  int64_t oldest_offset = 0;  // in history; 0: nothing is
  int64_t publications = 0;
  int64_t bytes = 0;  // of memory or disk
};

// What the state of a channel that holds history is counted for, beside the engine's own: about
// what ChannelState, its name and its places in tables take.
inline constexpr int64_t kChannelStateBytes = 400;

enum class ReadOutcome {
  kOk,
  kGone,      // the publication after the asked position is not kept any more
  kFetching,  // it must be fetched from elsewhere: `ready` is called when another try makes sense
};

// Called once, from any thread, without Router's locks.
using EngineCallback = std::function<void(absl::Status)>;

class EngineChannel {
 public:
  virtual ~EngineChannel() = default;

  // The last position assigned and acknowledged.
  virtual Position head() const = 0;
  // Drops what has grown too old, first.
  virtual HistoryState Describe(absl::Duration now) = 0;
  virtual const HistoryPolicy& policy() const = 0;
  virtual void SetPolicy(const HistoryPolicy& policy, absl::Duration now) = 0;

  // Appends to `page` what is kept from offset `after` + 1 up to offset `until`, in order, until
  // the envelopes exceed `max_bytes` (one at least).  Publications whose own time is over are among
  // them.  `make_ready` is asked for a callback only if the answer is kFetching.
  virtual ReadOutcome ReadAfter(int64_t after, int64_t until, size_t max_bytes, absl::Duration now,
                                std::vector<PublicationPtr>* page,
                                absl::FunctionRef<EngineCallback()> make_ready) = 0;

  // Offset of the first publication in history that was received then or later; one more than the
  // head's if there is none.  Publications that were appended by several threads may stand in
  // another order than they were received in, by up to a second.
  virtual int64_t FirstSince(absl::Duration received) const = 0;

  // Drops what is older than the policy allows.  Returns whether history is empty then.
  virtual bool Trim(absl::Duration now) = 0;

  // When the oldest publication in history was received; InfiniteDuration: there is none.
  virtual absl::Duration oldest_received_at() const = 0;
  virtual void DropOldest() = 0;
};

// One publication to append, not sealed yet.
struct EngineAppend {
  EngineChannel* channel = nullptr;
  PublicationPtr publication;
};

enum class AppendOutcome {
  kDone,         // sealed and kept, all of them
  kDoneCrowded,  // the same, and history takes more than it may: let the oldest publications go
  kPending,      // the callback comes when they are, or with the reason why they are not
};

class Engine {
 public:
  virtual ~Engine() = default;

  // "memory"; for people and metrics.
  virtual absl::string_view name() const = 0;

  // State of a channel that has none: a new epoch, unless the engine remembers one.
  virtual std::unique_ptr<EngineChannel> Open(absl::string_view service, absl::string_view channel,
                                              const HistoryPolicy& policy) = 0;

  // Ends a channel's life: opened again it has a new epoch.
  virtual void Forget(std::unique_ptr<EngineChannel> channel) = 0;

  // Seals and keeps all of `appends` or none; they are of different channels (an event and its
  // mirrors).  Callbacks of one channel come in the order of its appends.  `make_done` is asked for
  // a callback only if the outcome is kPending; the channels live until it was called.
  virtual AppendOutcome Append(absl::Span<const EngineAppend> appends, absl::Duration now,
                               absl::FunctionRef<EngineCallback()> make_done) = 0;

  // Bytes that history takes in all, the states of the channels that hold it included; and by how
  // many it exceeds what it may, or a little less, so that it is not crowded again at once.
  virtual int64_t history_bytes() const = 0;
  virtual int64_t excess_bytes() const = 0;

  // OK if it can take publications now; else why not.
  virtual absl::Status Health() const = 0;
};

}  // namespace fanwire::control
