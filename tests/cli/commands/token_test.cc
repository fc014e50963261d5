#include "cli/commands/token.h"

#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/jwt.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kSecret[] = "a-secret-of-32-bytes-for-the-test";

class TokenTest : public testing::Test {
 protected:
  TokenTest() { wsctl_.environment["SECRET"] = kSecret; }
  ~TokenTest() override { unlink(path_.c_str()); }

  // Returns a token that wsctl made, without the newline.
  std::string Mint(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"token", "mint", "--secret-env", "SECRET", "--user", "ana"});
    Outcome outcome = wsctl_.Run(more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    if (!outcome.out.empty()) outcome.out.pop_back();
    return outcome.out;
  }

  absl::Time Now() { return FixedClock().WallNow(); }

  const std::string path_ = testing::TempDir() + "wsctl_token_" + std::to_string(getpid());
  CliRunner wsctl_;
};

TEST_F(TokenTest, AMintedTokenHoldsWhatItWasAskedTo) {
  const std::string token =
      Mint({"--permission", "workflow:read", "--permission", "pool:read", "--audience",
            "mahavishnu", "--expires", "10m", "--key-id", "k1"});
  const auto claims = JwtVerifier({{.id = "k1", .secret = kSecret}}, "mahavishnu")
                          .Verify(token, Now() + absl::Minutes(9));
  ASSERT_OK(claims);
  EXPECT_EQ(claims->user, "ana");
  EXPECT_THAT(claims->permissions, ElementsAre("workflow:read", "pool:read"));
  EXPECT_THAT(claims->audience, ElementsAre("mahavishnu"));
  EXPECT_EQ(claims->issued_at, Now());
  EXPECT_EQ(claims->expires_at, Now() + absl::Minutes(10));
  EXPECT_EQ(DecodeJwt(token)->key_id, "k1");
}

TEST_F(TokenTest, ATokenHoldsAnHourUnlessTold) {
  EXPECT_EQ(DecodeJwt(Mint())->claims.expires_at, Now() + absl::Hours(1));
}

TEST_F(TokenTest, ATokenThatIsNeverOrForeverValidIsRefused) {
  for (const char* expires : {"0", "0s", "0.5", "999ms", "-1h"}) {
    const Outcome outcome =
        wsctl_.Run({"token", "mint", "--secret-env", "SECRET", "--expires", expires});
    EXPECT_EQ(outcome.code, 2) << expires;
    EXPECT_THAT(outcome.err, HasSubstr("--expires: ")) << expires;
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_EQ(DecodeJwt(Mint({"--expires", "1s"}))->claims.expires_at, Now() + absl::Seconds(1));
  EXPECT_THAT(wsctl_.Run({"token", "mint", "--secret-env", "SECRET", "--expires", "69912000h"}).err,
              HasSubstr("beyond the year 9999"));
}

TEST_F(TokenTest, MintAsJsonShowsTheClaims) {
  const auto json = nlohmann::json::parse(Mint({"--output", "json"}));
  EXPECT_OK(DecodeJwt(json["token"].get<std::string>()));
  EXPECT_EQ(json["claims"]["user_id"], "ana");
  EXPECT_EQ(json["expires_at"], "2026-02-10T13:00:00.000Z");
}

TEST_F(TokenTest, MintNeedsASecretAndOnlyOne) {
  EXPECT_EQ(wsctl_.Run({"token", "mint"}).code, 2);
  EXPECT_EQ(wsctl_.Run({"token", "mint", "--secret", kSecret, "--secret-env", "SECRET"}).code, 2);
}

TEST_F(TokenTest, SecretsComeFromManyPlaces) {
  std::ofstream(path_) << kSecret << "\n";
  const std::string token = Mint();
  for (const std::vector<std::string>& secret : {std::vector<std::string>{"--secret", kSecret},
                                                 {"--secret-env", "SECRET"},
                                                 {"--secret-file", path_}}) {
    std::vector<std::string> words = {"token", "inspect", token, "--output", "json"};
    words.insert(words.end(), secret.begin(), secret.end());
    EXPECT_EQ(nlohmann::json::parse(wsctl_.Run(words).out)["verified"], true);
  }
  const Outcome piped = wsctl_.RunWithInput(
      {"token", "inspect", token, "--secret-file", "-", "--output", "json"}, kSecret);
  EXPECT_EQ(nlohmann::json::parse(piped.out)["verified"], true);
}

TEST_F(TokenTest, ASecretThatIsNotThereOrTooShortIsSaid) {
  EXPECT_THAT(wsctl_.Run({"token", "mint", "--secret-env", "NOPE"}).err,
              HasSubstr("NOT_FOUND: --secret-env: NOPE is not set"));
  EXPECT_EQ(wsctl_.Run({"token", "mint", "--secret-file", "/nonexistent"}).code, 69);
  const Outcome brief = wsctl_.Run({"token", "mint", "--secret", "short"});
  EXPECT_EQ(brief.code, 67);
  EXPECT_THAT(brief.err, HasSubstr("the secret has 5 bytes; at least 16 are needed"));
  EXPECT_EQ(wsctl_.Run({"token", "inspect", Mint(), "--secret", "short"}).code, 67);
}

TEST_F(TokenTest, InspectWithoutSecretLeavesNoDoubtThatNothingWasChecked) {
  const std::string token = Mint({"--permission", "a:read"});
  const Outcome outcome = wsctl_.Run({"token", "inspect", token});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out,
            "verified     no: no secret was given\n"
            "algorithm    HS256\n"
            "key id       -\n"
            "user         ana\n"
            "permissions  a:read\n"
            "audience     -\n"
            "issued       2026-02-10T12:00:00.000Z\n"
            "not before   -\n"
            "expires      2026-02-10T13:00:00.000Z\n");
  const auto json =
      nlohmann::json::parse(wsctl_.Run({"token", "inspect", token, "--output", "json"}).out);
  EXPECT_EQ(json["verified"], false);
  EXPECT_EQ(json["reason"], "no secret was given");
  EXPECT_EQ(json["claims"]["user_id"], "ana");
  EXPECT_EQ(json["header"]["alg"], "HS256");
}

TEST_F(TokenTest, InspectSaysThatAGoodTokenHolds) {
  const Outcome outcome = wsctl_.Run({"token", "inspect", Mint(), "--secret-env", "SECRET"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("verified     yes\n"));
}

TEST_F(TokenTest, InspectShowsATokenThatDoesNotHoldAndFails) {
  const std::string token = Mint();
  wsctl_.environment["OTHER"] = "another-secret-of-some-32-bytes!";
  const Outcome outcome = wsctl_.Run({"token", "inspect", token, "--secret-env", "OTHER"});
  EXPECT_EQ(outcome.code, 80);
  EXPECT_THAT(outcome.out, HasSubstr("verified     no: "));
  EXPECT_THAT(outcome.out, HasSubstr("user         ana\n"));
  const Outcome audience =
      wsctl_.Run({"token", "inspect", Mint({"--audience", "akosha"}), "--secret-env", "SECRET",
                  "--audience", "mahavishnu", "--output", "json"});
  EXPECT_EQ(audience.code, 80);
  EXPECT_EQ(nlohmann::json::parse(audience.out)["verified"], false);
}

TEST_F(TokenTest, TextsThatAreNoUtf8AreRefused) {
  for (const char* option : {"--user", "--permission", "--audience", "--key-id"}) {
    const Outcome outcome =
        wsctl_.Run({"token", "mint", "--secret-env", "SECRET", option, "caf\xe9"});
    EXPECT_EQ(outcome.code, 2) << option;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(absl::StrCat(option, ": \"caf\\xe9\" is not UTF-8")));
  }
}

TEST_F(TokenTest, ATokenThatNoServiceWouldAcceptIsNotMade) {
  const Outcome outcome = wsctl_.Run(
      {"token", "mint", "--secret-env", "SECRET", "--permission", std::string(7000, 'p')});
  EXPECT_EQ(outcome.code, 67);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("at most 8192 are accepted"));
}

TEST_F(TokenTest, InspectSaysWhichClaimIsTheReason) {
  const auto inspect = [&](const std::string& claims, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"token", "inspect",
                                      absl::StrCat(absl::WebSafeBase64Escape(R"({"alg":"HS256"})"),
                                                   ".", absl::WebSafeBase64Escape(claims), ".AA")};
    words.insert(words.end(), more.begin(), more.end());
    return wsctl_.Run(words);
  };
  const Outcome text = inspect(R"({"sub":"ana","exp":"1770000000"})");
  EXPECT_EQ(text.code, 67);
  EXPECT_THAT(text.out,
              HasSubstr("verified     no: claim exp: a text; seconds since 1970 are wanted\n"));
  EXPECT_THAT(text.out, HasSubstr("user         ana\n"));
  EXPECT_THAT(text.err, HasSubstr("claim exp"));
  const Outcome milliseconds = inspect(R"({"exp":1770000000000})", {"--output", "json"});
  EXPECT_EQ(milliseconds.code, 67);
  EXPECT_THAT(nlohmann::json::parse(milliseconds.out)["reason"].get<std::string>(),
              HasSubstr("claim exp: 1770000000000 is beyond the year 9999"));
  EXPECT_EQ(inspect(R"({"aud":[]})", {"--secret-env", "SECRET"}).code, 80);
  // Without a secret an old token is shown, and said to be one, but is no failure.
  const Outcome old = inspect(R"({"exp":1000})");
  EXPECT_EQ(old.code, 0);
  EXPECT_THAT(old.out, HasSubstr("no: claim exp: the token expired at 1970-01-01T00:16:40"));
  const Outcome audience =
      wsctl_.Run({"token", "inspect", Mint({"--audience", "akosha"}), "--secret-env", "SECRET"});
  EXPECT_EQ(audience.code, 80);
  EXPECT_THAT(audience.out, HasSubstr("claim aud: the token is for akosha only"));
}

TEST_F(TokenTest, InspectSaysWhichPartIsNoToken) {
  EXPECT_THAT(wsctl_.Run({"token", "inspect", "e30=.e30=.AA"}).err,
              HasSubstr("token header: padded with '='"));
  EXPECT_THAT(wsctl_.Run({"token", "inspect", std::string(9000, 'a')}).err,
              HasSubstr("token: 9000 bytes, at most 8192 are accepted"));
}

TEST_F(TokenTest, ATokenFromStandardInput) {
  const std::string token = Mint();
  EXPECT_THAT(wsctl_.RunWithInput({"token", "inspect", "-"}, token + "\n").out,
              HasSubstr("user         ana\n"));
  EXPECT_EQ(wsctl_.Run({"token", "inspect", "-", "--secret-file", "-"}).code, 2);
}

TEST_F(TokenTest, NonsenseIsNoToken) {
  const Outcome outcome = wsctl_.Run({"token", "inspect", "nonsense"});
  EXPECT_EQ(outcome.code, 67);
  EXPECT_EQ(outcome.out, "");
}

TEST_F(TokenTest, OnATerminalTimesAreRelativeToo) {
  const std::string token = Mint();
  wsctl_.terminal = true;
  EXPECT_THAT(wsctl_.Run({"token", "inspect", token, "--no-color"}).out,
              HasSubstr("2026-02-10T13:00:00.000Z (in 1h)"));
}

}  // namespace
}  // namespace fanwire::cli
