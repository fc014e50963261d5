// WakeList gathers the links on which publications were queued that their writers do not know of
// yet, each link once, so that a writer is woken once for many publications.
//
// Threading: none.
// Cost:      Add() compares with the links that are in the list already: one for each worker.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "control/links/worker_link.h"

namespace fanwire::control {

class WakeList {
 public:
  void Add(const std::shared_ptr<WorkerLink>& link) {
    if (std::find(links_.begin(), links_.end(), link) == links_.end()) links_.push_back(link);
  }
  // Wakes the writers and empties the list.
  void Flush() {
    for (const std::shared_ptr<WorkerLink>& link : links_) link->Flush();
    links_.clear();
  }

 private:
  std::vector<std::shared_ptr<WorkerLink>> links_;
};

}  // namespace fanwire::control
