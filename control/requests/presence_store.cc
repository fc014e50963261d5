#include "control/requests/presence_store.h"

#include <map>
#include <set>

#include "absl/container/flat_hash_map.h"

namespace fanwire::control {

namespace {

using ChannelName = std::pair<std::string, std::string>;  // service, channel

struct Channel;

// A connection on a channel.
using Place = std::pair<Channel*, std::string>;

struct ProcessState {
  WorkerProcess name;
  uint64_t snapshot = 0;             // number of the last snapshot
  std::map<Place, uint64_t> places;  // what is here, and the snapshot that named it last
};

struct Connection {
  ProcessState* process = nullptr;
  std::string user;
  std::string info;
  absl::Duration return_by = absl::InfiniteDuration();  // infinite: it is not away
  bool closed = false;  // away because its worker has closed it, not because that is lost

  bool away() const { return return_by != absl::InfiniteDuration(); }
};

// Users first, each before its own connections; then anonymous connections.
struct MemberKey {
  bool anonymous = false;
  std::string id;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 means the 0 in the comparison that is made
  friend auto operator<=>(const MemberKey&, const MemberKey&) = default;
};

struct Member {
  std::set<std::string> connections;
  int64_t present = 0;  // those that are not away

  // How many connections are listed.
  int64_t shown() const { return present > 0 ? present : static_cast<int64_t>(connections.size()); }
};

struct Channel {
  ChannelName name;
  std::map<MemberKey, Member> members;
  absl::flat_hash_map<std::string, Connection> connections;
  int64_t shown = 0;
};

MemberKey KeyOf(absl::string_view user, absl::string_view connection_id) {
  return {.anonymous = user.empty(), .id = std::string(user.empty() ? connection_id : user)};
}

class MemoryStore final : public PresenceStore {
 public:
  void Join(const WorkerProcess& process_name, const PresentConnection& wanted, Telling telling,
            PresenceEvents* events) override {
    PresenceCounts& counts = counts_[wanted.service];
    Channel& channel = channels_[ChannelName(wanted.service, wanted.channel)];
    if (channel.connections.empty()) {
      channel.name = {wanted.service, wanted.channel};
      ++counts.channels;
    }
    const std::string& id = wanted.connection_id;
    const auto [it, fresh] = channel.connections.try_emplace(id);
    Connection& connection = it->second;
    if (fresh) ++counts.connections;
    Return(&channel, id, &connection);
    SetProcess(&ProcessOf(process_name), {&channel, id}, &connection);
    if (!fresh && connection.user == wanted.user_id) {
      connection.info = wanted.info;
      return;
    }
    if (!fresh) RemoveFromMember(&channel, id, connection, events);
    connection.user = wanted.user_id;
    connection.info = wanted.info;
    const auto [at, first] = channel.members.try_emplace(KeyOf(wanted.user_id, id));
    Member& member = at->second;
    channel.shown -= member.shown();
    member.connections.insert(id);
    ++member.present;
    channel.shown += member.shown();
    if (!first) return;
    ++counts.members;
    if (telling == Telling::kTell) events->push_back({.joined = true, .connection = wanted});
  }

  void Leave(const WorkerProcess& process, absl::string_view service, absl::string_view channel,
             absl::string_view connection_id, absl::Duration return_by,
             PresenceEvents* events) override {
    const auto at = channels_.find(ChannelName(service, channel));
    if (at == channels_.end()) return;
    const auto it = at->second.connections.find(connection_id);
    if (it == at->second.connections.end() || it->second.process->name != process) return;
    if (return_by == absl::ZeroDuration()) return Remove({&at->second, it->first}, events);
    it->second.closed = true;
    SetAway({&at->second, it->first}, &it->second, return_by);
  }

  void BeginSnapshot(const WorkerProcess& process) override {
    if (const auto it = processes_.find(process); it != processes_.end()) {
      it->second.snapshot = ++snapshots_;
    }
  }

  void EndSnapshot(const WorkerProcess& process, PresenceEvents* events) override {
    const auto it = processes_.find(process);
    if (it == processes_.end()) return;
    std::vector<Place> gone;
    for (const auto& [place, snapshot] : it->second.places) {
      if (snapshot == it->second.snapshot) continue;
      if (!place.first->connections.at(place.second).closed) gone.push_back(place);
    }
    for (const Place& place : gone) Remove(place, events);
  }

  void Lose(const WorkerProcess& process, absl::Duration return_by) override {
    const auto it = processes_.find(process);
    if (it == processes_.end()) return;
    for (const auto& [place, snapshot] : it->second.places) {
      SetAway(place, &place.first->connections.at(place.second), return_by);
    }
  }

  void Expire(absl::Duration now, PresenceEvents* events) override {
    while (!away_.empty() && away_.begin()->first <= now) {
      Remove(Place(away_.begin()->second), events);
    }
  }

  PresencePage List(absl::string_view service, absl::string_view channel,
                    const PresencePlace& place, size_t limit) const override {
    PresencePage page;
    const auto at = channels_.find(ChannelName(service, channel));
    if (at == channels_.end()) return page;
    page.total = at->second.shown;
    page.members = static_cast<int64_t>(at->second.members.size());
    const bool from_begin = place.connection_id.empty();
    auto member = from_begin
                      ? at->second.members.begin()
                      : at->second.members.lower_bound(KeyOf(place.user_id, place.connection_id));
    for (; member != at->second.members.end(); ++member) {
      const bool same = !from_begin && member->first == KeyOf(place.user_id, place.connection_id);
      auto id = same ? member->second.connections.upper_bound(place.connection_id)
                     : member->second.connections.begin();
      for (; id != member->second.connections.end(); ++id) {
        const Connection& connection = at->second.connections.at(*id);
        if (connection.away() && member->second.present > 0) continue;
        if (page.entries.size() == limit) {
          page.more = true;
          return page;
        }
        page.entries.push_back({.connection_id = *id,
                                .user_id = connection.user,
                                .info = connection.info,
                                .worker_id = connection.process->name.worker_id,
                                .away = connection.away()});
      }
    }
    return page;
  }

  PresenceCounts Counts(absl::string_view service) const override {
    const auto it = counts_.find(service);
    return it == counts_.end() ? PresenceCounts() : it->second;
  }

 private:
  ProcessState& ProcessOf(const WorkerProcess& name) {
    const auto [it, fresh] = processes_.try_emplace(name);
    if (fresh) it->second = {.name = name, .snapshot = ++snapshots_, .places = {}};
    return it->second;
  }

  void SetProcess(ProcessState* process, const Place& place, Connection* connection) {
    if (connection->process != process) {
      LeaveProcess(place, *connection);
      connection->process = process;
    }
    process->places[place] = process->snapshot;
  }

  // Forgets a process that has no other connection.
  void LeaveProcess(const Place& place, const Connection& connection) {
    ProcessState* const process = connection.process;
    if (process == nullptr) return;
    process->places.erase(place);
    if (process->places.empty()) processes_.erase(WorkerProcess(process->name));
  }

  void SetAway(const Place& place, Connection* connection, absl::Duration return_by) {
    if (connection->away()) return;
    Channel& channel = *place.first;
    Member& member = channel.members.at(KeyOf(connection->user, place.second));
    channel.shown -= member.shown();
    --member.present;
    channel.shown += member.shown();
    connection->return_by = return_by;
    away_.emplace(return_by, place);
  }

  // The connection is not away any more, if it was.
  void Return(Channel* channel, const std::string& id, Connection* connection) {
    if (!connection->away()) return;
    Member& member = channel->members.at(KeyOf(connection->user, id));
    channel->shown -= member.shown();
    ++member.present;
    channel->shown += member.shown();
    away_.erase({connection->return_by, Place(channel, id)});
    connection->return_by = absl::InfiniteDuration();
    connection->closed = false;
  }

  // Takes the connection from its member, which leaves if it was the last one.
  void RemoveFromMember(Channel* channel, const std::string& id, const Connection& connection,
                        PresenceEvents* events) {
    const auto at = channel->members.find(KeyOf(connection.user, id));
    Member& member = at->second;
    channel->shown -= member.shown();
    member.connections.erase(id);
    if (!connection.away()) --member.present;
    channel->shown += member.shown();
    if (!member.connections.empty()) return;
    channel->members.erase(at);
    --counts_[channel->name.first].members;
    events->push_back({.joined = false,
                       .connection = {.service = channel->name.first,
                                      .channel = channel->name.second,
                                      .connection_id = id,
                                      .user_id = connection.user,
                                      .info = connection.info}});
  }

  // `place` must not be a part of what is removed.
  void Remove(const Place& place, PresenceEvents* events) {
    Channel& channel = *place.first;
    const auto it = channel.connections.find(place.second);
    RemoveFromMember(&channel, place.second, it->second, events);
    LeaveProcess(place, it->second);
    if (it->second.away()) away_.erase({it->second.return_by, place});
    channel.connections.erase(it);
    PresenceCounts& counts = counts_[channel.name.first];
    --counts.connections;
    if (!channel.connections.empty()) return;
    --counts.channels;
    channels_.erase(ChannelName(channel.name));
  }

  std::map<WorkerProcess, ProcessState> processes_;            // with connections
  std::map<ChannelName, Channel> channels_;                    // with connections
  std::map<std::string, PresenceCounts, std::less<>> counts_;  // by service
  std::set<std::pair<absl::Duration, Place>> away_;            // by the time until which they are
  uint64_t snapshots_ = 0;
};

}  // namespace

std::unique_ptr<PresenceStore> PresenceStore::MakeInMemory() {
  return std::make_unique<MemoryStore>();
}

}  // namespace fanwire::control
