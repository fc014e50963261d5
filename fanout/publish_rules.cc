#include "fanout/publish_rules.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/json_text.h"
#include "common/proto_time.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

namespace {

bool Names(const std::string& listed, absl::string_view event) {
  if (!absl::EndsWith(listed, "*")) return listed == event;
  return absl::StartsWith(event, absl::string_view(listed).substr(0, listed.size() - 1));
}

// The template with its "{key}" parts taken from data; empty if one is missing.  The one behind
// "KIND:" may bring the kind itself.
std::string FillIn(absl::string_view channel_template, absl::string_view data) {
  std::string channel;
  while (true) {
    const size_t open = channel_template.find('{');
    const size_t close = open == absl::string_view::npos ? open : channel_template.find('}', open);
    if (close == absl::string_view::npos) {
      absl::StrAppend(&channel, channel_template);
      return channel;
    }
    const std::optional<std::string> value =
        JsonName(FindJsonMember(data, channel_template.substr(open + 1, close - open - 1)));
    if (!value.has_value() || value->empty()) return "";
    absl::StrAppend(&channel, channel_template.substr(0, open));
    const absl::string_view kind = ChannelKind(channel);
    const bool first = channel.size() == kind.size() + 1;
    absl::StrAppend(&channel, first ? WithoutKind(kind, *value) : absl::string_view(*value));
    channel_template.remove_prefix(close + 1);
  }
}

}  // namespace

PublishRules::PublishRules(const v1::WorkerService& service) {
  for (const v1::PublishRule& in : service.publish_rules()) {
    absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(in.pattern());
    if (!pattern.ok()) continue;  // control has checked it
    rules_.push_back({.pattern = *std::move(pattern),
                      .events = {in.events().begin(), in.events().end()},
                      .any_of = {in.any_of().begin(), in.any_of().end()},
                      .anonymous = in.anonymous(),
                      .skip_history = in.skip_history(),
                      .conflate_interval = ToDuration(in.conflate_interval()),
                      .copies = {in.copies().begin(), in.copies().end()}});
  }
  for (const v1::PublishEvent& event : service.publish_events()) {
    events_[event.name()] = {event.channels().begin(), event.channels().end()};
  }
}

const PublishRules::Rule* PublishRules::Find(absl::string_view channel,
                                             absl::string_view event) const {
  for (const Rule& rule : rules_) {
    if (rule.pattern.Matches(channel) &&
        std::any_of(rule.events.begin(), rule.events.end(),
                    [&](const std::string& listed) { return Names(listed, event); })) {
      return &rule;
    }
  }
  return nullptr;
}

std::string PublishRules::ChannelOf(absl::string_view event, absl::string_view data) const {
  const auto it = events_.find(event);
  if (it == events_.end()) return "";
  for (const std::string& channel_template : it->second) {
    std::string channel = FillIn(channel_template, data);
    if (!channel.empty() && Find(channel, event) != nullptr) return channel;
  }
  return "";
}

bool PublishRules::Allows(const Rule& rule, const TokenVerifier& verifier, const Identity* identity,
                          bool loopback) {
  if (identity == nullptr) return rule.anonymous && loopback;
  return verifier.HasOneOf(*identity, rule.any_of);
}

std::vector<std::string> PublishRules::CopiesOf(const Rule& rule, absl::string_view channel) {
  std::vector<std::string> copies;
  const size_t colon = channel.find(':');
  const absl::string_view rest =
      colon == absl::string_view::npos ? absl::string_view() : channel.substr(colon + 1);
  for (const std::string& listed : rule.copies) {
    if (rest.empty() && absl::StrContains(listed, "*")) continue;
    std::string copy = absl::StrReplaceAll(listed, {{"*", rest}});
    // A longer kind can make the name too long: then there is no such copy.
    if (copy == channel || !CheckChannelName(copy).ok() ||
        std::find(copies.begin(), copies.end(), copy) != copies.end()) {
      continue;
    }
    copies.push_back(std::move(copy));
  }
  return copies;
}

}  // namespace fanwire::fanout
