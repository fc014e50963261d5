// `wsctl token mint|inspect`: HS256 tokens, made and taken apart here, without control.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/context.h"
#include "cli/output.h"

namespace fanwire::cli {

// Where the shared secret comes from; at most one.
struct SecretOptions {
  std::string secret;       // on the command line, where others of this machine can see it
  std::string secret_env;   // an environment variable's name
  std::string secret_file;  // its content, without white space around it; "-": standard input

  bool given() const { return !secret.empty() || !secret_env.empty() || !secret_file.empty(); }
};

// Empty if none is given.
//   a usage error     more than one
//   NOT_FOUND         the variable or file is not there
//   INVALID_ARGUMENT  shorter than 16 bytes, which no configuration accepts
absl::StatusOr<std::string> ReadSecret(const SecretOptions& options, const Environment& environment,
                                       int stdin_fd);

struct MintOptions {
  SecretOptions secret;
  std::string key_id;
  std::string user;
  std::vector<std::string> permissions;
  std::vector<std::string> audience;
  std::optional<absl::Duration> expires;  // absent: an hour
};

absl::Status RunTokenMint(const MintOptions& options, const Environment& environment, int stdin_fd,
                          Output& out);

struct InspectOptions {
  std::string token;  // "-": standard input
  SecretOptions secret;
  std::string audience;
};

// Says whether the signature was checked and holds; never leaves that open.
//   INVALID_ARGUMENT  no token
//   UNAUTHENTICATED   a secret was given and the token does not hold up
absl::Status RunTokenInspect(const InspectOptions& options, const Environment& environment,
                             int stdin_fd, Output& out);

}  // namespace fanwire::cli
