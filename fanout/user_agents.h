// UserAgents keeps the user agents of the open sessions, each different text once.  A text goes
// when the last session that has it ends.
//
// Threading: loop-confined.
// Ownership: outlives its Refs.
// Cost:      one map lookup per upgrade; a session holds 8 bytes.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/intrusive_ptr.h"

namespace fanwire::fanout {

class UserAgents {
 public:
  // Longer texts are cut, at the end of a character.
  static constexpr size_t kMaxBytes = 200;

  class Entry {
   public:
    const std::string& text() const { return text_; }

   private:
    friend class IntrusivePtr<Entry>;
    friend class UserAgents;

    Entry(UserAgents* table, std::string text) : table_(table), text_(std::move(text)) {}
    static void Destroy(Entry* entry) {
      entry->table_->entries_.erase(entry->text_);
      delete entry;
    }

    UserAgents* const table_;
    const std::string text_;
    PlainCount references_;
  };
  using Ref = IntrusivePtr<Entry>;

  // Returns the kept text of a User-Agent header, made UTF-8; null if it is empty.
  Ref Keep(absl::string_view header);

  // Different texts that are kept.
  size_t size() const { return entries_.size(); }

 private:
  absl::flat_hash_map<absl::string_view, Entry*> entries_;  // the key is the entry's own text
};

}  // namespace fanwire::fanout
