// McpFixture talks to an McpServer in the test's process, behind which is a FakeMcpControl.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/mcp/mcp_server.h"
#include "common/mutex.h"
#include "tests/cli/mcp/fake_control.h"
#include "tests/testing/wait_for.h"

namespace fanwire::cli {

class McpFixture : public ::testing::Test {
 protected:
  using Json = nlohmann::ordered_json;

  ~McpFixture() override { End(); }

  McpServer& server() {
    if (server_ == nullptr) {
      server_ = std::make_unique<McpServer>(
          settings_, [this] { return connect_.ok() ? control_.Connect() : connect_; },
          [this](const std::string& line) {
            MutexLock lock(&mu_);
            lines_.push_back(line);
          });
    }
    return *server_;
  }

  // Ends the server, so that control_ has what its clients were asked.
  void End() { server_.reset(); }

  void Send(const std::string& line) { server().OnLine(line); }

  // Begins as a client of this version of the handshake does.
  void Initialize(const std::string& version = "2025-11-25") {
    Send(absl::StrCat(R"({"jsonrpc":"2.0","id":"init","method":"initialize","params":{)",
                      R"("protocolVersion":")", version,
                      R"(","capabilities":{},"clientInfo":{"name":"test","version":"1"}}})"));
    Send(R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
    ASSERT_TRUE(WaitFor([&] { return !AnswerOf("\"init\"").is_discarded(); }));
    Forget();
  }

  void SendRequest(const std::string& id, const std::string& method,
                   const std::string& params = "{}") {
    Send(absl::StrCat(R"({"jsonrpc":"2.0","id":)", id, R"(,"method":")", method, R"(","params":)",
                      params, "}"));
  }
  void SendCall(const std::string& id, const std::string& tool,
                const std::string& arguments = "{}") {
    SendRequest(id, "tools/call",
                absl::StrCat(R"({"name":")", tool, R"(","arguments":)", arguments, "}"));
  }

  // The answer of the request with this id (JSON); waits for it.
  Json Answer(const std::string& id) {
    EXPECT_TRUE(WaitFor([&] { return !AnswerOf(id).is_discarded(); })) << "no answer of " << id;
    return AnswerOf(id);
  }
  // The result of a request, or of a tool's call its text, which is an error's or an object.
  Json Result(const std::string& id) { return Answer(id).value("result", Json()); }
  Json Request(const std::string& method, const std::string& params = "{}") {
    const std::string id = absl::StrCat(++last_id_);
    SendRequest(id, method, params);
    return Answer(id);
  }
  Json Call(const std::string& tool, const std::string& arguments = "{}") {
    const std::string id = absl::StrCat(++last_id_);
    SendCall(id, tool, arguments);
    return Result(id);
  }
  // The object of a call that succeeds.
  Json Object(const std::string& tool, const std::string& arguments = "{}") {
    const Json result = Call(tool, arguments);
    EXPECT_EQ(result.value("isError", true), false) << result;
    EXPECT_EQ(result["content"][0]["text"], result["structuredContent"].dump());
    return result.value("structuredContent", Json());
  }
  // The text of a call that fails.
  std::string Error(const std::string& tool, const std::string& arguments = "{}") {
    const Json result = Call(tool, arguments);
    EXPECT_EQ(result.value("isError", false), true) << result;
    EXPECT_FALSE(result.contains("structuredContent"));
    return result["content"][0]["text"];
  }

  std::vector<std::string> lines() const {
    MutexLock lock(&mu_);
    return lines_;
  }
  void Forget() {
    MutexLock lock(&mu_);
    lines_.clear();
  }
  // The params of the notifications of this name so far.
  std::vector<Json> Notifications(const std::string& method) const {
    std::vector<Json> found;
    for (const std::string& line : lines()) {
      const Json message = Json::parse(line);
      if (message.is_object() && message.value("method", "") == method) {
        found.push_back(message["params"]);
      }
    }
    return found;
  }

  McpSettings settings_;
  FakeMcpControl control_;
  absl::Status connect_;  // not OK: clients cannot be made

 private:
  // Discarded if there is none yet.
  Json AnswerOf(const std::string& id) const {
    const std::string begin = absl::StrCat(R"({"jsonrpc":"2.0","id":)", id, ",");
    for (const std::string& line : lines()) {
      if (line.compare(0, begin.size(), begin) == 0) return Json::parse(line);
    }
    return Json(Json::value_t::discarded);
  }

  mutable Mutex mu_;
  std::vector<std::string> lines_;
  int last_id_ = 1000;  // tests that choose ids choose smaller ones
  std::unique_ptr<McpServer> server_;
};

}  // namespace fanwire::cli
