#include "fanout/track.h"

#include <algorithm>
#include <utility>

namespace fanwire::fanout {

TrackTable::TrackTable(absl::AnyInvocable<absl::Duration()> now, Report report)
    : now_(std::move(now)), report_(std::move(report)) {}

TrackTable::~TrackTable() {
  for (Track* const track : tracks_) delete track;
}

Track* TrackTable::Open(uint64_t publication_id) {
  auto* const track = new Track;
  track->publication_id = publication_id;
  track->received = now_();
  track->place = tracks_.size();
  tracks_.push_back(track);
  return track;
}

void TrackTable::Written(Track* track, int64_t count) {
  if (count == 0) return;
  const int64_t us = std::max<int64_t>(1, absl::ToInt64Microseconds(now_() - track->received));
  if (track->first_written_us == 0) track->first_written_us = us;
  track->last_written_us = us;
  track->written += count;
  track->changed = true;
}

void TrackTable::FannedOut(Track* track) {
  track->fanned_out = true;
  if (track->waiting == 0) return Finish(track);
  track->changed = false;
  if (track->publication_id != 0) report_(*track, /*final=*/false);
}

void TrackTable::Settled(Track* track) {
  --track->waiting;
  track->changed = true;
  if (track->fanned_out && track->waiting == 0) Finish(track);
}

void TrackTable::ReportChanges() {
  for (Track* const track : tracks_) {
    if (!track->fanned_out || !std::exchange(track->changed, false)) continue;
    if (track->publication_id != 0) report_(*track, /*final=*/false);
  }
}

void TrackTable::Finish(Track* track) {
  if (track->publication_id != 0) report_(*track, /*final=*/true);
  tracks_[track->place] = tracks_.back();
  tracks_[track->place]->place = track->place;
  tracks_.pop_back();
  delete track;
}

void TrackTable::Disown() {
  for (Track* const track : tracks_) track->publication_id = 0;
}

}  // namespace fanwire::fanout
