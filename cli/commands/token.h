// `wsctl token mint|inspect`: makes and decodes HS256 tokens, without asking control.
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

// The source of the shared secret.  At most one field is set.
struct SecretOptions {
  std::string secret;       // the secret itself; other users of this machine can see it in `ps`
  std::string secret_env;   // the environment variable that holds the secret
  std::string secret_file;  // the file that holds it; surrounding white space is cut; "-": stdin

  bool given() const { return !secret.empty() || !secret_env.empty() || !secret_file.empty(); }
};

// Returns the secret; empty if no source is given.
//   a usage error     more than one source is given
//   NOT_FOUND         the variable or file does not exist
//   INVALID_ARGUMENT  the secret is shorter than 16 bytes, which no configuration accepts
absl::StatusOr<std::string> ReadSecret(const SecretOptions& options, const Environment& environment,
                                       int stdin_fd);

struct MintOptions {
  SecretOptions secret;
  std::string key_id;
  std::string user;
  std::vector<std::string> permissions;
  std::vector<std::string> audience;
  std::optional<absl::Duration> expires;  // how long the token is valid; absent: one hour
};

// Prints a token that every service with the key accepts.
//   a usage error     there is no secret, or the token would be valid beyond the year 9999
//   INVALID_ARGUMENT  the token is longer than any service accepts
absl::Status RunTokenMint(const MintOptions& options, const Environment& environment, int stdin_fd,
                          Output& out);

struct InspectOptions {
  std::string token;  // "-": standard input
  SecretOptions secret;
  std::string audience;
};

// Prints what the token contains, whether its signature was verified, and if not, which part or
// claim is the reason.
//   INVALID_ARGUMENT  the text is not a token, or no service accepts it whatever its key
//   UNAUTHENTICATED   a secret was given and the token is not valid
absl::Status RunTokenInspect(const InspectOptions& options, const Environment& environment,
                             int stdin_fd, Output& out);

}  // namespace fanwire::cli
