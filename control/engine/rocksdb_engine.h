// The engine that keeps positions and history on the disk, in a RocksDB database.  They outlive
// control.
//
// One writer thread takes what waits, as a whole, and writes it as one batch: many publications
// share one write, and with RocksDbOptions::sync one sync.  Recent publications stay in memory.
// Older ones are fetched by a reader thread.  docs/storage.md says what is promised when.
//
// History is bounded by the policies of the channels.  There is no bound over all channels:
// excess_bytes() is 0.
//
// Threading: as Engine.  Callbacks come from the writer and the reader thread.
// Ownership: borrows the clock.
// Cost:      an append takes two mutexes for microseconds, and a few allocations per batch.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/clock.h"
#include "control/engine/engine.h"
#include "control/engine/rocksdb_options.h"

namespace fanwire::control {

std::unique_ptr<Engine> MakeRocksDbEngine(const RocksDbOptions& options, const Clock* clock);

// Returns why the folder cannot be used, as far as can be seen without changing anything.  The
// folder may be in use by a control that runs.
absl::Status CheckRocksDbFolder(const std::string& path);

}  // namespace fanwire::control
