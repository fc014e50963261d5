// Responder answers the requests of a service's clients.
//
//   fanwire::client::Responder responder("mahavishnu");
//   responder.Serve("get_state", [](const fanwire::client::Request& request) {
//     return fanwire::client::Response::Json(R"({"state": "fine"})");
//   });
//   responder.Start();
//   …
//   responder.Stop(std::chrono::seconds(5));
//
// The names that it serves must be registered before Start().  It connects to control, and again
// whenever the connection is lost; control then gives the requests that it had to another responder
// of the service, if there is one.
//
// Threading: safe from every thread, but Serve() only before Start().  Handlers run on threads of
//            the responder's own, options.threads at a time: they may take their time, and must be
//            safe to run beside each other.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fanwire/status.h"

namespace fanwire::client {

// A request of a client.
class Request {
 public:
  const std::string& name() const { return name_; }  // "get_workflow_status"
  // Its data: a JSON object.
  const std::string& json() const { return json_; }
  const std::string& connection_id() const { return connection_id_; }
  const std::string& user_id() const { return user_id_; }  // empty: anonymous
  const std::vector<std::string>& permissions() const { return permissions_; }
  // Until then the client waits for the answer.
  std::chrono::steady_clock::time_point deadline() const { return deadline_; }
  // 1; more if other responders were given it before.
  uint32_t attempt() const { return attempt_; }
  // Whether nobody waits for the answer any more.
  bool cancelled() const;

 private:
  friend class Responder;
  friend struct RequestReader;
  struct Shared;

  std::string name_;
  std::string json_;
  std::string connection_id_;
  std::string user_id_;
  std::vector<std::string> permissions_;
  std::chrono::steady_clock::time_point deadline_;
  uint32_t attempt_ = 1;
  std::shared_ptr<Shared> shared_;
};

// The error that a client gets instead of an answer.  The numbers are those of the protocol.
enum class RequestError {
  kNotFound = 1,
  kInvalidRequest = 2,
  kForbidden = 3,
  kUnavailable = 4,    // control asks another responder first
  kInternalError = 5,  // the message is for control's log, not for the client
};

// What a handler returns.
class Response {
 public:
  // The data of the client's response: one JSON object.
  static Response Json(std::string object) { return Response(std::move(object)); }
  static Response Error(RequestError error, std::string message) {
    return Response(error, std::move(message));
  }

  bool ok() const { return ok_; }
  RequestError error() const { return error_; }
  // The JSON, or the error's message.
  const std::string& text() const { return text_; }

 private:
  explicit Response(std::string object) : ok_(true), text_(std::move(object)) {}
  Response(RequestError error, std::string message) : error_(error), text_(std::move(message)) {}

  bool ok_ = false;
  RequestError error_ = RequestError::kInternalError;
  std::string text_;
};

// An exception that it throws is an INTERNAL_ERROR to the client, with the exception's text in
// control's log.
using RequestHandler = std::function<Response(const Request&)>;

struct ResponderOptions {
  // As in PublisherOptions.
  std::string target = {};
  bool tls = false;
  std::string ca_file = {};
  std::string cert_file = {};
  std::string key_file = {};
  std::string token = {};
  std::chrono::milliseconds reconnect_first{50};
  std::chrono::milliseconds reconnect_last{5'000};

  // Handlers that run at once.
  int threads = 4;
  // Requests that may be here without an answer; others go to other responders or wait at control.
  // 0: as many as control allows.
  uint32_t max_concurrent = 64;
  // Names the responder in control's logs.  Empty: none.
  std::string id = {};

  // How long the destructor waits for handlers' answers to be sent.
  std::chrono::milliseconds stop_timeout{5'000};

  // As in PublisherOptions: OK when requests are served, and the reason when they are not any more,
  // or were refused at once ("no such service").
  std::function<void(const Status&)> on_connection = {};
  // Control could not use an answer: it is no JSON object, or too long.
  std::function<void(const Status&)> on_refused_answer = {};
};

class Responder {
 public:
  explicit Responder(std::string service, ResponderOptions options = {});
  // As Stop(options.stop_timeout).
  ~Responder();
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  // Serves requests of this name, or, with a last '*', of all names that begin so.  If several fit,
  // the exact name goes first, then the longest.
  void Serve(std::string name, RequestHandler handler);

  // Begins to connect.
  //   INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION  as the target, its files or the token
  Status Start();
  // Waits until control has taken the names.  Returns why it has not after `timeout`.
  Status WaitUntilServing(std::chrono::milliseconds timeout);

  // Takes no more requests, waits until those that are here are answered, at most `timeout`, and
  // ends.  Handlers that run are always waited for.
  //   DEADLINE_EXCEEDED    some were not answered; control gives them to another responder
  //   FAILED_PRECONDITION  it was called in a handler or a callback
  Status Stop(std::chrono::milliseconds timeout);

 private:
  class Core;
  const std::unique_ptr<Core> core_;
};

}  // namespace fanwire::client
