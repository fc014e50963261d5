#include "control/dialects/session_buddy_feed.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "common/time_format.h"
#include "common/timer_queue.h"
#include "control/config/service_table.h"
#include "control/events/json_document.h"
#include "control/routing/channel_queries.h"
#include "control/routing/router.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

using Json = OrderedJson;

constexpr absl::string_view kEvent = "metrics_update";
constexpr absl::string_view kChannel = "metrics";
constexpr size_t kListed = 10;  // skills, and anomalies

// As Python's json.dumps() writes it: spaces after ':' and ',', non-ASCII escaped.  Numbers stay as
// they were written.
void AppendPythonJson(const Json& json, std::string* out) {
  const auto text = [](const Json& scalar) {
    if (scalar.is_binary()) return ToText(scalar);
    return scalar.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  };
  absl::string_view separator = "";
  if (json.is_object()) {
    out->push_back('{');
    for (const auto& [key, value] : json.items()) {
      absl::StrAppend(out, separator, text(key), ": ");
      AppendPythonJson(value, out);
      separator = ", ";
    }
    out->push_back('}');
  } else if (json.is_array()) {
    out->push_back('[');
    for (const Json& value : json) {
      out->append(separator.data(), separator.size());
      AppendPythonJson(value, out);
      separator = ", ";
    }
    out->push_back(']');
  } else {
    out->append(text(json));
  }
}

// The first ten objects of a list; none if it is no list.
Json FirstObjects(const Json& data, const char* field) {
  Json first = Json::array();
  const auto list = data.find(field);
  if (list == data.end() || !list->is_array()) return first;
  for (const Json& element : *list) {
    if (first.size() == kListed) break;
    if (element.is_object()) first.push_back(element);
  }
  return first;
}

std::string DataText(const Json& top_skills, const Json& anomalies) {
  std::string text = "{\"top_skills\": ";
  AppendPythonJson(top_skills, &text);
  text += ", \"anomalies\": ";
  AppendPythonJson(anomalies, &text);
  return text + "}";
}

// What a publication says, ready to be put into frames.
struct Numbers {
  PublicationPtr source;                                   // null: nothing was published
  std::string all;                                         // data of `metrics`
  absl::flat_hash_map<std::string, std::string> by_skill;  // channel -> data

  void Take(PublicationPtr publication) {
    source = std::move(publication);
    by_skill.clear();
    Json data = Json::object();
    if (source) {
      const absl::string_view text = source->data();
      data = ExactJson(text);
      if (!data.is_object()) data = Json::object();
    }
    const Json skills = FirstObjects(data, "top_skills");
    all = DataText(skills, FirstObjects(data, "anomalies"));
    for (const Json& skill : skills) {
      const auto name = skill.find("skill_name");
      if (name == skill.end() || !name->is_string()) continue;
      by_skill.emplace(absl::StrCat(kChannel, ":", name->get_ref<const std::string&>()),
                       DataText(Json::array({skill}), Json::array()));
    }
  }
};

}  // namespace

class SessionBuddyFeed::State : public std::enable_shared_from_this<State> {
 public:
  State(Router* router, ChannelQueries* queries, TimerQueue* timers, const Clock* clock)
      : router_(router), queries_(queries), timers_(timers), clock_(clock) {}

  void Stop() {
    MutexLock making(&making_mu_);
    stopped_ = true;
  }

  void SetServices(const ServiceTable& table) {
    absl::flat_hash_map<std::string, Service> services;
    std::vector<std::pair<std::string, Service>> fresh;
    {
      MutexLock lock(&mu_);
      for (const auto& spec : table.services()) {
        if (!spec->has_session_buddy()) continue;
        const auto known = services_.find(spec->name);
        Service service;
        if (known != services_.end()) service = known->second;
        service.interval = spec->update_interval;
        if (known == services_.end()) {
          service.series = ++last_series_;
          fresh.emplace_back(spec->name, service);
        }
        services.emplace(spec->name, std::move(service));
      }
      services_ = std::move(services);
    }
    for (const auto& [name, service] : fresh) {
      Arm(name, service.series, clock_->Now() + service.interval);
    }
  }

  void Keep(absl::string_view service, const PublicationPtr& publication) {
    PublicationPtr old = publication;
    MutexLock lock(&mu_);
    const auto it = services_.find(service);
    if (it != services_.end()) std::swap(it->second.newest, old);
    // Declared before the lock, the replaced one is freed after it.
  }

 private:
  struct Service {
    absl::Duration interval;
    PublicationPtr newest;
    uint64_t series = 0;  // names its timers: one that was removed and added again has others
  };

  void Arm(const std::string& name, uint64_t series, absl::Duration at) {
    timers_->At(at, [weak = weak_from_this(), name, series, at] {
      if (const std::shared_ptr<State> state = weak.lock()) state->Tick(name, series, at);
    });
  }

  void Tick(const std::string& name, uint64_t series, absl::Duration due) {
    MutexLock making(&making_mu_);
    if (stopped_) return;
    Service service;
    {
      MutexLock lock(&mu_);
      const auto it = services_.find(name);
      if (it != services_.end() && it->second.series == series) service = it->second;
    }
    if (service.series == 0) {
      if (const auto it = numbers_.find(name); it != numbers_.end()) numbers_.erase(it);
      return;
    }
    Publish(name, service.newest);
    // In step, but without making up for what was missed.
    const absl::Duration now = clock_->Now();
    Arm(name, series, (due + service.interval > now ? due : now) + service.interval);
  }

  void Publish(const std::string& name, const PublicationPtr& newest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(making_mu_) {
    const std::vector<std::string> channels =
        queries_->InterestedChannels(name, Dialect::kSessionBuddy);
    if (channels.empty()) return;
    Numbers& numbers = numbers_[name];
    if (numbers.all.empty() || !(numbers.source == newest)) numbers.Take(newest);
    const std::string head = absl::StrCat("{\"type\": \"", kEvent, "\", \"timestamp\": \"",
                                          FormatIso8601(clock_->WallNow()), "\", \"data\": ");
    for (const std::string& channel : channels) {
      const auto skill = numbers.by_skill.find(channel);
      if (channel != kChannel && skill == numbers.by_skill.end()) continue;
      router_->PublishFrame(
          name, Dialect::kSessionBuddy, channel,
          absl::StrCat(head, channel == kChannel ? numbers.all : skill->second, "}"));
    }
  }

  Router* const router_;
  ChannelQueries* const queries_;
  TimerQueue* const timers_;
  const Clock* const clock_;

  Mutex making_mu_{LockRank::kRegistry};
  bool stopped_ ABSL_GUARDED_BY(making_mu_) = false;
  absl::flat_hash_map<std::string, Numbers> numbers_ ABSL_GUARDED_BY(making_mu_);  // by service

  Mutex mu_ ABSL_ACQUIRED_AFTER(making_mu_);
  absl::flat_hash_map<std::string, Service> services_ ABSL_GUARDED_BY(mu_);
  uint64_t last_series_ ABSL_GUARDED_BY(mu_) = 0;
};

SessionBuddyFeed::SessionBuddyFeed(Router* router, ChannelQueries* queries, TimerQueue* timers,
                                   const Clock* clock)
    : state_(std::make_shared<State>(router, queries, timers, clock)) {}

SessionBuddyFeed::~SessionBuddyFeed() { state_->Stop(); }

void SessionBuddyFeed::SetServices(const ServiceTable& services) { state_->SetServices(services); }

void SessionBuddyFeed::OnPublication(const ObservedPublication& observed) {
  if (observed.mirror || observed.channel != kChannel || observed.publication->event() != kEvent) {
    return;
  }
  state_->Keep(observed.service, observed.publication);
}

}  // namespace fanwire::control
