#include "cli/commands/token.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/all.h"
#include "cli/exit_code.h"
#include "cli/input.h"
#include "cli/invocation.h"
#include "cli/text.h"
#include "common/json_parse.h"
#include "common/jwt.h"
#include "common/time_format.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShortestSecret = 16;
constexpr absl::Duration kDefaultLife = absl::Hours(1);
constexpr absl::Duration kLeeway = absl::Seconds(5);  // the default of auth.leeway
// Workers refuse tokens that expire later.
const absl::Time kLatestExpiry = absl::FromUnixSeconds(kMaxJwtSeconds);

Json ParsedOrText(const std::string& text) {
  Json value = ParseOrderedJson(text);
  return value.is_discarded() ? Json(text) : value;
}

std::string TimeText(const std::optional<absl::Time>& time, const Output& out,
                     absl::string_view none) {
  if (!time.has_value()) return std::string(none);
  if (!out.terminal()) return FormatRfc3339(*time);
  return absl::StrCat(FormatRfc3339(*time), " (", RelativeTime(*time, out.now()), ")");
}

// The first reason why the token is not accepted.  Without a secret the signature is not looked at.
absl::Status Verdict(const std::string& token, const JwtParts& parts, const std::string& secret,
                     const std::string& audience, absl::Time now) {
  if (secret.empty()) {
    if (!parts.fault.ok()) return parts.fault;
    return CheckJwtTimes(parts.claims, now, kLeeway);
  }
  if (audience.empty() && !parts.claims.audience.empty() && parts.fault.ok()) {
    return absl::UnauthenticatedError(absl::StrCat("claim aud: the token is for ",
                                                   absl::StrJoin(parts.claims.audience, ", "),
                                                   " only: give --audience SERVICE"));
  }
  return JwtVerifier({{.id = parts.key_id, .secret = secret}}, audience, kLeeway)
      .Verify(token, now)
      .status();
}

void AddSecretFlags(Command& command, SecretOptions* secret) {
  command
      .Text("--secret-env", "VARIABLE", &secret->secret_env,
            "Read the secret from this environment variable")
      .Text("--secret-file", "FILE", &secret->secret_file,
            "Read the secret from this file; - for standard input", Values::kFiles)
      .Text("--secret", "TEXT", &secret->secret, "The secret itself; other users can see it in ps")
      .AnyBytes("--secret")
      .AnyBytes("--secret-env");
}

}  // namespace

absl::StatusOr<std::string> ReadSecret(const SecretOptions& options, const Environment& environment,
                                       int stdin_fd) {
  const int given =
      !options.secret.empty() + !options.secret_env.empty() + !options.secret_file.empty();
  if (given == 0) return std::string();
  if (given > 1) return UsageError("give only one of --secret-env, --secret-file and --secret");
  std::string secret = options.secret;
  if (!options.secret_env.empty()) {
    const char* value = environment(options.secret_env);
    if (value == nullptr) {
      return absl::NotFoundError(absl::StrCat("--secret-env: ", options.secret_env, " is not set"));
    }
    secret = value;
  } else if (!options.secret_file.empty()) {
    const absl::StatusOr<std::string> text =
        options.secret_file == "-" ? ReadStandardInput(stdin_fd) : ReadFile(options.secret_file);
    if (!text.ok()) return text.status();
    secret = std::string(absl::StripAsciiWhitespace(*text));
  }
  if (secret.size() < kShortestSecret) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the secret has ", secret.size(), " bytes; at least ", kShortestSecret, " are needed"));
  }
  return secret;
}

absl::Status RunTokenMint(const MintOptions& options, const Environment& environment, int stdin_fd,
                          Output& out) {
  if (!options.secret.given()) {
    return UsageError("a secret is needed: --secret-env VARIABLE or --secret-file FILE");
  }
  const absl::StatusOr<std::string> secret = ReadSecret(options.secret, environment, stdin_fd);
  if (!secret.ok()) return secret.status();
  JwtClaims claims;
  claims.user = options.user;
  claims.permissions = options.permissions;
  claims.audience = options.audience;
  // Claims hold whole seconds.
  claims.issued_at = absl::FromUnixSeconds(absl::ToUnixSeconds(out.now()));
  claims.expires_at = *claims.issued_at + options.expires.value_or(kDefaultLife);
  if (*claims.expires_at > kLatestExpiry) {
    return UsageError("--expires: the token would be valid beyond the year 9999");
  }
  const std::string token = MintJwt(claims, {.id = options.key_id, .secret = *secret});
  // What no service would accept is not handed out.
  const absl::StatusOr<JwtParts> parts = DecodeJwt(token);
  if (!parts.ok()) return parts.status();
  if (!out.json()) {
    out.Line(token);
    return absl::OkStatus();
  }
  out.Json({{"token", token},
            {"claims", ParsedOrText(parts->claims_json)},
            {"expires_at", FormatRfc3339(*claims.expires_at)}});
  return absl::OkStatus();
}

absl::Status RunTokenInspect(const InspectOptions& options, const Environment& environment,
                             int stdin_fd, Output& out) {
  if (options.token == "-" && options.secret.secret_file == "-") {
    return UsageError("the token and the secret cannot both come from standard input");
  }
  std::string token = options.token;
  if (token == "-") {
    const absl::StatusOr<std::string> text = ReadStandardInput(stdin_fd);
    if (!text.ok()) return text.status();
    token = std::string(absl::StripAsciiWhitespace(*text));
  }
  const absl::StatusOr<std::string> secret = ReadSecret(options.secret, environment, stdin_fd);
  if (!secret.ok()) return secret.status();
  const absl::StatusOr<JwtParts> parts = DecodeJwt(token);
  if (!parts.ok()) return parts.status();

  const absl::Status verdict = Verdict(token, *parts, *secret, options.audience, out.now());
  const bool verified = !secret->empty() && verdict.ok();
  const std::string reason(verdict.ok() ? "no secret was given" : verdict.message());
  if (out.json()) {
    out.Json({{"verified", verified},
              {"reason", verified ? Json(nullptr) : Json(reason)},
              {"header", ParsedOrText(parts->header_json)},
              {"claims", ParsedOrText(parts->claims_json)}});
  } else {
    const JwtClaims& claims = parts->claims;
    out.Print(
        {{"verified",
          verified ? Cell("yes", Tone::kGood) : Cell(absl::StrCat("no: ", reason), Tone::kBad)},
         {"algorithm", parts->algorithm},
         {"key id", parts->key_id.empty() ? "-" : parts->key_id},
         {"user", claims.user.empty() ? "-" : claims.user},
         {"permissions", claims.permissions.empty() ? "-" : absl::StrJoin(claims.permissions, " ")},
         {"audience", claims.audience.empty() ? "-" : absl::StrJoin(claims.audience, " ")},
         {"issued", TimeText(claims.issued_at, out, "-")},
         {"not before", TimeText(claims.not_before, out, "-")},
         {"expires", TimeText(claims.expires_at, out, parts->fault.ok() ? "never" : "-")}});
  }
  // Nobody asked whether a token is still valid if there is no secret to check it with.
  return secret->empty() && parts->fault.ok() ? absl::OkStatus() : verdict;
}

void AddTokenCommands(Command root) {
  Command token = root.AddGroup("token", "Tokens of clients (JWT, HS256)",
                                "wsctl token mint --secret-env MAHAVISHNU_JWT_SECRET --user ana");

  auto mint = std::make_shared<MintOptions>();
  Command mint_command = token.AddCommand(
      "mint", "Make a token",
      "wsctl token mint --secret-env MAHAVISHNU_JWT_SECRET --user ana --permission workflow:read "
      "--expires 8h",
      [mint](Invocation& run) {
        return RunTokenMint(*mint, run.environment(), run.stdin_fd(), run.out());
      });
  AddSecretFlags(mint_command, &mint->secret);
  mint_command.Text("--key-id", "ID", &mint->key_id, "The key's id in the configuration (kid)")
      .Text("--user", "USER", &mint->user, "The client's user id (user_id)")
      .Texts("--permission", "NAME", &mint->permissions, "A permission; may be given several times")
      .Texts("--audience", "SERVICE", &mint->audience, "Accepted only by this service (aud)")
      .Duration("--expires", &mint->expires, "How long the token is valid; default 1h",
                absl::Seconds(1));

  auto inspect = std::make_shared<InspectOptions>();
  Command inspect_command = token.AddCommand(
      "inspect", "Show what a token contains, and whether it is valid",
      "wsctl token inspect eyJhbGciOiJIUzI1NiJ9.e30.c2ln --secret-env MAHAVISHNU_JWT_SECRET",
      [inspect](Invocation& run) {
        return RunTokenInspect(*inspect, run.environment(), run.stdin_fd(), run.out());
      });
  inspect_command.Argument("TOKEN", &inspect->token, "The token, or - for standard input");
  AddSecretFlags(inspect_command, &inspect->secret);
  inspect_command.Text("--audience", "SERVICE", &inspect->audience,
                       "The service that a token with an audience must name", Values::kServices);
}

}  // namespace fanwire::cli
