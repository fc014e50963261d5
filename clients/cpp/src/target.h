// Finds control's address and makes the gRPC channel to it.
//
// Threading: pure functions of the options, the environment and the files that they name.
#pragma once

#include <memory>
#include <string>

#include "fanwire/publisher_options.h"
#include "fanwire/status.h"

namespace grpc {
class Channel;
}

namespace fanwire::client {

// The address that a publisher with this `target` connects to.
std::string ChooseAddress(const std::string& target);

// The token that is sent: this one, else that of the variable FANWIRE_TOKEN.
std::string ChooseToken(const std::string& token);

// `address` as gRPC takes it: "127.0.0.1:8701", "unix:/run/fanwire/control.sock".
//   INVALID_ARGUMENT  the message says what is wrong and which form is right
Status ParseTarget(const std::string& address, std::string* target);

// Makes the channel.  Makes no connection.
//   INVALID_ARGUMENT     the address is malformed
//   NOT_FOUND            a file cannot be read
//   FAILED_PRECONDITION  the token would leave this machine unencrypted
Status MakeChannel(const PublisherOptions& options, std::shared_ptr<grpc::Channel>* channel);

}  // namespace fanwire::client
