#include "control/engine/redis_session.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/engine/redis_scripts.h"
#include "control/engine/store_keys.h"

namespace fanwire::control {

namespace {

constexpr char kStale[] = "STALE";

// The value of "key:value" among the lines of an answer to INFO.
absl::string_view InfoValue(absl::string_view info, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(info, '\n')) {
    if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
    if (absl::StartsWith(line, key) && line.size() > key.size() && line[key.size()] == ':') {
      return line.substr(key.size() + 1);
    }
  }
  return {};
}

int64_t Milliseconds(absl::Duration time) {
  return time == absl::InfiniteDuration() ? 0 : absl::ToInt64Milliseconds(time);
}

}  // namespace

std::string RedisName(absl::string_view service, absl::string_view channel) {
  return absl::StrCat(service, ":", channel);
}

RedisSession::RedisSession(const RedisOptions& options)
    : options_(options),
      idle_ms_(absl::StrCat(Milliseconds(options.channel_idle_ttl) + 3'600'000)),
      connection_({.server = options.server,
                   .connect_timeout = options.connect_timeout,
                   .response_timeout = options.response_timeout}) {}

absl::StatusOr<RedisConnection::Answer> RedisSession::Call(
    std::initializer_list<absl::string_view> command) {
  absl::StatusOr<RedisConnection::Answer> answer = connection_.Call(command);
  if (!answer.ok()) return answer;
  const RedisReply reply = **answer;
  if (!reply.is_error()) return answer;
  return absl::UnavailableError(absl::StrCat("Redis at ", options_.server, " refuses ",
                                             *command.begin(), ": ", reply.text()));
}

absl::Status RedisSession::Connect() {
  if (connection_.connected() && !generation_.empty()) return absl::OkStatus();
  const bool fresh = !connection_.connected();
  if (absl::Status status = connection_.Connect(); !status.ok()) return status;
  if (fresh) {
    generation_.clear();
    open_sha_.clear();
    append_sha_.clear();
    if (!options_.password.empty()) {
      const auto allowed = options_.username.empty()
                               ? Call({"AUTH", options_.password})
                               : Call({"AUTH", options_.username, options_.password});
      if (!allowed.ok()) {
        connection_.Close();
        return allowed.status();
      }
    }
  }
  absl::Status status = LearnGeneration();
  if (!status.ok()) connection_.Close();
  return status;
}

absl::Status RedisSession::LearnGeneration() {
  const auto info = Call({"INFO"});
  if (!info.ok()) return info.status();
  const absl::string_view text = (**info).text();
  if (InfoValue(text, "role") != "master") {
    return absl::UnavailableError(absl::StrCat(
        "Redis at ", options_.server, " is a replica: name the master as engine.redis.server"));
  }
  // A failover makes the replica's earlier id its second one, and may lose what was acknowledged.
  std::string identity = absl::StrCat(InfoValue(text, "master_replid2"));
  if (!options_.durable) absl::StrAppend(&identity, " ", InfoValue(text, "run_id"));
  const std::string fresh = Epoch::Random().ToText();
  const auto generation = Call({"EVAL", kGenerationScript, "0", identity, fresh});
  if (!generation.ok()) return generation.status();
  generation_ = std::string((**generation).text());
  if (generation_.empty()) return absl::UnavailableError("Redis has not told a generation");
  return absl::OkStatus();
}

absl::Status RedisSession::Probe() {
  if (absl::Status status = Connect(); !status.ok()) return status;
  return Call({"SET", "fanwire:probe", "1", "PX", "1000"}).status();
}

absl::Status RedisSession::CheckDurable() {
  const struct {
    absl::string_view key, value;
  } wanted[] = {
      {"appendonly", "yes"}, {"appendfsync", "always"}, {"maxmemory-policy", "noeviction"}};
  for (const auto& setting : wanted) {
    const auto answer = Call({"CONFIG", "GET", setting.key});
    if (!answer.ok()) return answer.status();
    const absl::string_view found = (**answer).at(1).text();
    if (found == setting.value) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "engine.redis.durable: Redis at ", options_.server, " has ", setting.key, " \"", found,
        "\", and \"", setting.value, "\" is needed; change redis.conf, or leave durable out"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RedisConnection::Answer> RedisSession::Run(
    absl::string_view script, std::string* sha, std::vector<absl::string_view>* arguments) {
  if (absl::Status status = Connect(); !status.ok()) return status;
  if (sha->empty()) {
    const auto loaded = Call({"SCRIPT", "LOAD", script});
    if (!loaded.ok()) return loaded.status();
    *sha = std::string((**loaded).text());
  }
  (*arguments)[0] = "EVALSHA";
  (*arguments)[1] = *sha;
  (*arguments)[2] = "0";
  (*arguments)[3] = generation_;
  absl::StatusOr<RedisConnection::Answer> answer = connection_.Call(*arguments);
  if (!answer.ok()) return answer;
  const RedisReply reply = **answer;
  if (!reply.is_error()) return answer;
  if (absl::StartsWith(reply.text(), kStale)) {
    generation_.clear();
    return absl::AbortedError("the generation of Redis has changed");
  }
  if (absl::StartsWith(reply.text(), "NOSCRIPT")) sha->clear();
  return absl::UnavailableError(
      absl::StrCat("Redis at ", options_.server, " refuses: ", reply.text()));
}

absl::StatusOr<std::vector<RedisSession::Head>> RedisSession::Open(
    absl::Span<const std::string> names) {
  std::vector<std::string> epochs;
  for (size_t i = 0; i < names.size(); ++i) epochs.push_back(Epoch::Random().ToText());
  std::vector<absl::string_view> arguments(4);
  arguments.push_back(idle_ms_);
  for (size_t i = 0; i < names.size(); ++i) {
    arguments.push_back(names[i]);
    arguments.push_back(epochs[i]);
  }
  absl::StatusOr<RedisConnection::Answer> answer = Run(kOpenScript, &open_sha_, &arguments);
  if (absl::IsAborted(answer.status()) || (!answer.ok() && open_sha_.empty())) {
    answer = Run(kOpenScript, &open_sha_, &arguments);
  }
  if (!answer.ok()) return answer.status();
  const RedisReply reply = **answer;
  std::vector<Head> heads(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    if (!Epoch::Parse(reply.at(4 * i).text(), &heads[i].epoch)) {
      return absl::DataLossError(absl::StrCat("Redis holds no epoch of ", names[i]));
    }
    heads[i].offset = reply.at(4 * i + 1).integer();
    heads[i].received_us = reply.at(4 * i + 2).integer();
    heads[i].first = reply.at(4 * i + 3).integer();
  }
  return heads;
}

absl::StatusOr<std::vector<RedisSession::Placed>> RedisSession::Append(
    absl::Span<const Appended> publications) {
  struct Texts {
    std::string size, ttl, epoch, received;
  };
  std::vector<Texts> texts(publications.size());
  std::vector<absl::string_view> arguments(4);
  arguments.reserve(5 + 8 * publications.size());
  arguments.push_back(idle_ms_);
  for (size_t i = 0; i < publications.size(); ++i) {
    const Appended& publication = publications[i];
    texts[i] = {.size = absl::StrCat(publication.history_size),
                .ttl = absl::StrCat(Milliseconds(publication.history_ttl)),
                .epoch = Epoch::Random().ToText(),
                .received = absl::StrCat(publication.received_us)};
    arguments.insert(arguments.end(),
                     {publication.name, publication.mode, texts[i].size, texts[i].ttl,
                      texts[i].epoch, texts[i].received, publication.head, publication.value});
  }
  absl::StatusOr<RedisConnection::Answer> answer = Run(kAppendScript, &append_sha_, &arguments);
  // The script was lost, and did nothing.
  if (!answer.ok() && append_sha_.empty() && connection_.connected()) {
    answer = Run(kAppendScript, &append_sha_, &arguments);
  }
  if (!answer.ok()) return answer.status();
  const RedisReply reply = **answer;
  std::vector<Placed> placed(publications.size());
  for (size_t i = 0; i < publications.size(); ++i) {
    Epoch::Parse(reply.at(2 * i).text(), &placed[i].epoch);
    placed[i].offset = reply.at(2 * i + 1).integer();
  }
  return placed;
}

absl::Status RedisSession::Read(
    absl::string_view name, Epoch epoch, int64_t first, int64_t last, size_t limit,
    absl::FunctionRef<bool(int64_t offset, absl::string_view value, absl::string_view tag)> visit) {
  if (absl::Status status = Connect(); !status.ok()) return status;
  const std::string key = absl::StrCat("fanwire:h:", epoch.ToText(), ":", name);
  const auto answer = Call({"XRANGE", key, absl::StrCat(first, "-0"), absl::StrCat(last, "-0"),
                            "COUNT", absl::StrCat(limit)});
  if (!answer.ok()) return answer.status();
  const RedisReply entries = **answer;
  for (size_t i = 0; i < entries.size(); ++i) {
    const absl::string_view id = entries.at(i).at(0).text();
    int64_t offset = 0;
    if (!absl::SimpleAtoi(id.substr(0, id.find('-')), &offset)) continue;
    const RedisReply fields = entries.at(i).at(1);
    absl::string_view value, tag;
    for (size_t k = 0; k + 1 < fields.size(); k += 2) {
      (fields.at(k).text() == "v" ? value : tag) = fields.at(k + 1).text();
    }
    if (!visit(offset, value, tag)) break;
  }
  return absl::OkStatus();
}

absl::Status RedisSession::ReadLog(
    std::string* last,
    absl::FunctionRef<void(absl::string_view name, Epoch epoch, int64_t offset)> visit) {
  if (absl::Status status = Connect(); !status.ok()) return status;
  if (last->empty()) {
    const auto answer = Call({"XREVRANGE", kLogKey, "+", "-", "COUNT", "1"});
    if (!answer.ok()) return answer.status();
    const absl::string_view newest = (**answer).at(0).at(0).text();
    *last = newest.empty() ? "0-0" : std::string(newest);
    return absl::OkStatus();
  }
  for (;;) {
    const auto answer = Call({"XRANGE", kLogKey, absl::StrCat("(", *last), "+", "COUNT", "1000"});
    if (!answer.ok()) return answer.status();
    const RedisReply entries = **answer;
    if (entries.size() == 0) return absl::OkStatus();
    for (size_t i = 0; i < entries.size(); ++i) {
      *last = std::string(entries.at(i).at(0).text());
      absl::string_view packed = entries.at(i).at(1).at(1).text();
      while (packed.size() >= 2) {
        const size_t size =
            static_cast<unsigned char>(packed[0]) << 8 | static_cast<unsigned char>(packed[1]);
        const size_t all = 2 + size + Epoch::kTextBytes + 8;
        Epoch epoch;
        if (packed.size() < all ||
            !Epoch::Parse(packed.substr(2 + size, Epoch::kTextBytes), &epoch)) {
          break;
        }
        visit(packed.substr(2, size), epoch,
              static_cast<int64_t>(ReadBigEndian(packed.data() + all - 8)));
        packed.remove_prefix(all);
      }
    }
  }
}

}  // namespace fanwire::control
