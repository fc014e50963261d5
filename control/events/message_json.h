// Writes protobuf messages as JSON with the keys that a catalog gives to their fields.
//
// Threading: a writer is of one thread at a time.
// Ownership: borrows the text that it appends to.
// Cost:      reflection: some 0.1 us a field.
// Source:    proto/fanwire/catalog/v1/options.proto
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "control/config/catalog.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace fanwire::control {

class MessageJson {
 public:
  explicit MessageJson(std::string* out) : out_(out) {}

  // Appends the data of an event.  Returns false if JSON cannot hold it: error() says why.
  bool WriteEvent(const google::protobuf::Message& message, const Catalog::Message& type,
                  absl::string_view timestamp);

  const std::string& error() const { return error_; }

  // Fields that the message had and its type does not know: "17 of fanwire.….WorkflowStarted".
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  using Field = google::protobuf::FieldDescriptor;
  using Message = google::protobuf::Message;

  bool Fail(const Field& field, absl::string_view what);
  void BeginMember(absl::string_view key, bool* first);
  bool WriteObject(const Message& message);
  // The members of an object; `keys` are those that are written already.
  bool WriteFields(const Message& message, std::set<std::string>* keys, bool* first);
  bool WriteSpread(const Message& message, const Field& field, std::set<std::string>* keys,
                   bool* first);
  bool WriteField(const Message& message, const Field& field);
  // A value of a field that is not repeated, or element `index` of one that is.
  bool WriteOne(const Message& message, const Field& field, int index);
  bool WriteMessage(const Message& message, const Field& field);
  bool WriteMap(const Message& message, const Field& field, bool* first,
                std::set<std::string>* keys);
  bool WriteStruct(const Message& message, const Field& at);
  bool WriteList(const Message& message, const Field& at);
  bool WriteValue(const Message& message, const Field& at);
  bool WriteNumber(double number, const Field& field);
  void NoteUnknown(const Message& message);

  std::string* const out_;
  std::string error_;
  std::vector<std::string> left_out_;
};

// Whether no more than `max` members, elements and bytes of text are in a message of this type, so
// that objects may be made of it.  What is malformed is left to protobuf.
bool IsSmallMessage(const google::protobuf::Descriptor& type, absl::string_view bytes, size_t max);

}  // namespace fanwire::control
