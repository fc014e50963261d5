#include "fanout/token_verifier.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "common/proto_time.h"
#include "common/utf8.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

namespace {

std::vector<JwtKey> KeysOf(const v1::WorkerService& service) {
  std::vector<JwtKey> keys;
  for (const v1::Key& key : service.keys()) keys.push_back({key.id(), key.secret()});
  return keys;
}

bool Has(const std::vector<std::string>& permissions, absl::string_view wanted) {
  return std::find(permissions.begin(), permissions.end(), wanted) != permissions.end();
}

}  // namespace

TokenVerifier::TokenVerifier(const v1::WorkerService& service)
    : verifier_(KeysOf(service), service.name(), ToDuration(service.leeway())),
      leeway_(ToDuration(service.leeway())),
      max_info_bytes_(service.limits().presence_info_bytes()),
      admin_permissions_(service.admin_permissions().begin(), service.admin_permissions().end()),
      read_reads_all_(service.read_permission_reads_all()) {
  for (const v1::PermissionRule& in : service.permissions()) {
    Rule rule;
    rule.text = in.prefix();
    rule.prefix = absl::EndsWith(rule.text, ":") || absl::EndsWith(rule.text, "*");
    if (absl::EndsWith(rule.text, "*")) rule.text.pop_back();
    rule.any_of.assign(in.any_of().begin(), in.any_of().end());
    rules_.push_back(std::move(rule));
  }
}

absl::StatusOr<Identity> TokenVerifier::Verify(absl::string_view token, absl::Time now) const {
  absl::StatusOr<JwtClaims> claims = verifier_.Verify(token, now);
  if (!claims.ok()) return claims.status();
  std::optional<absl::Time> expires_at = claims->expires_at;
  if (expires_at.has_value() && *expires_at <= now) *expires_at += leeway_;
  // Tokens may have had an `info` for other readers: one that is too long is no fault.
  if (claims->info.size() > max_info_bytes_) claims->info.clear();
  return Identity{.user = ToUtf8(claims->user),
                  .permissions = std::move(claims->permissions),
                  .info = std::move(claims->info),
                  .expires_at = expires_at};
}

const TokenVerifier::Rule* TokenVerifier::RuleFor(absl::string_view channel) const {
  for (const Rule& rule : rules_) {
    if (rule.prefix ? absl::StartsWith(channel, rule.text) : channel == rule.text) return &rule;
  }
  return nullptr;
}

bool TokenVerifier::IsAdmin(const Identity& identity) const {
  return Has(identity.permissions, "admin") ||
         std::any_of(admin_permissions_.begin(), admin_permissions_.end(),
                     [&](const std::string& admin) { return Has(identity.permissions, admin); });
}

bool TokenVerifier::Allows(const Identity& identity, const std::vector<std::string>& any_of) const {
  return std::any_of(any_of.begin(), any_of.end(), [&](const std::string& permission) {
    return Has(identity.permissions, permission) ||
           (read_reads_all_ && absl::EndsWith(permission, ":read") &&
            Has(identity.permissions, "read"));
  });
}

bool TokenVerifier::HasOneOf(const Identity& identity,
                             const std::vector<std::string>& permissions) const {
  return IsAdmin(identity) || Allows(identity, permissions);
}

bool TokenVerifier::MaySubscribe(const Identity& identity, absl::string_view channel) const {
  if (IsAdmin(identity)) return true;
  // Of a pattern only what stands before its first wildcard is the same in all that it matches: a
  // rule covers the pattern if its prefix lies within that.  Other rules for longer prefixes may
  // not be stricter, so each rule that could meet the pattern must be satisfied.
  const auto allows = [&](const Rule& rule) { return Allows(identity, rule.any_of); };
  if (!IsPattern(channel)) {
    const Rule* rule = RuleFor(channel);
    return rule != nullptr && allows(*rule);
  }
  const absl::string_view fixed = channel.substr(0, channel.find('*'));
  for (const Rule& rule : rules_) {
    if (rule.prefix && absl::StartsWith(fixed, rule.text)) return allows(rule);
    // A rule for some of what the pattern matches: it decides there, and must allow.
    if (absl::StartsWith(rule.text, fixed) && !allows(rule)) return false;
  }
  return false;
}

}  // namespace fanwire::fanout
