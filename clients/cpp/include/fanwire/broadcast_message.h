// BroadcastMessage builds one event of the catalog: its data, as JSON, and its channels.  The
// generated broadcasters are written with it.
//
//   BroadcastMessage message;
//   message.Add("workflow_id", workflow_id);
//   message.AddChannel({"workflow:", workflow_id}, {"workflow_id"});
//   return message.Publish(publisher, "mahavishnu", "workflow.started", extras);
//
// Threading: belongs to one thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fanwire/broadcaster.h"

namespace fanwire::client {

// An object of JSON that is being written.
class JsonObject {
 public:
  void Add(std::string_view key, std::string_view text);
  void Add(std::string_view key, const std::string& text) { Add(key, std::string_view(text)); }
  void Add(std::string_view key, const char* text) { Add(key, std::string_view(text)); }
  void Add(std::string_view key, double number);
  void Add(std::string_view key, const JsonObject& object);
  template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  void Add(std::string_view key, T number) {
    AddKey(key);
    AppendInteger(number);
  }
  template <typename T>
  void Add(std::string_view key, const std::vector<T>& list) {
    AddKey(key);
    text_ += '[';
    for (size_t i = 0; i < list.size(); ++i) {
      if (i > 0) text_ += ',';
      Append(list[i]);
    }
    text_ += ']';
  }
  // Adds a value that is JSON, or `empty` if there is none.
  void AddJson(std::string_view key, const Json& value, std::string_view empty);
  void AddJsonList(std::string_view key, const std::vector<Json>& list, std::string_view empty);
  void AddNull(std::string_view key) { AddJson(key, Json("null"), {}); }
  // Adds the keys of an object, except for those that are there already.  What is no object makes
  // this one malformed.
  void Spread(const Json& object);

  // Keys, in the order in which they were added.
  const std::vector<std::string_view>& keys() const { return keys_; }
  bool malformed() const { return malformed_; }
  // The object's text.
  std::string Text() const { return "{" + text_ + "}"; }

 private:
  void AddKey(std::string_view key);
  bool Has(std::string_view raw_key) const;
  void Append(std::string_view text);
  void Append(const std::string& text) { Append(std::string_view(text)); }
  void Append(double number);
  void Append(const JsonObject& object) { text_ += object.Text(); }
  template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  void Append(T number) {
    AppendInteger(number);
  }
  void AppendInteger(bool value) { text_ += value ? "true" : "false"; }
  template <typename T>
  void AppendInteger(T number) {
    text_ += std::to_string(number);
  }

  std::string text_;
  std::vector<std::string_view> keys_;  // of literals
  bool malformed_ = false;
};

class BroadcastMessage : public JsonObject {
 public:
  // Adds a channel: the parts in a row.  Those at odd places are the values of `fields`.  A value
  // that brings the kind with it is not given it twice: "pool:", "pool:local" make "pool:local".
  void AddChannel(std::initializer_list<std::string_view> parts,
                  std::initializer_list<std::string_view> fields);
  // Adds the time, now if there is none.
  void AddTimestamp(std::string_view key, const std::optional<std::string>& timestamp);

  // Publishes it to its channels, as copies with one id.  A later channel with an empty field gets
  // none.
  //   INVALID_ARGUMENT  a field of the first channel is empty, or what Spread() got is no object
  Status Publish(Publisher* publisher, std::string_view service, std::string_view event,
                 const EventExtras& extras);

 private:
  struct Channel {
    std::string name;
    std::string_view empty;  // a field that it needs and that is empty
  };

  std::vector<Channel> channels_;
};

}  // namespace fanwire::client
