#include "cli/commands/channels.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;

class ChannelsTest : public testing::Test {
 protected:
  ChannelsTest() {
    channel_.service = "mahavishnu";
    channel_.channel = "workflow:1";
    channel_.head = {.epoch = "e1", .offset = 42};
    channel_.history_publications = 40;
    channel_.history_bytes = 2048;
    channel_.oldest_offset = 3;
    channel_.publications = 42;
    channel_.last_published = absl::FromUnixSeconds(1'770'724'500);
    channel_.workers = 2;
    channel_.subscribers = 5;
    channel_.history_size = 100;
    channel_.history_ttl = absl::Minutes(5);
    channel_.backlog_policy = "drop_oldest";
    wsctl_.admin.channel = channel_;
    wsctl_.admin.channels = {.channels = {channel_}, .total = 1};
    for (int64_t offset = 1; offset <= 2; ++offset) {
      wsctl_.admin.history.publications.push_back(
          {.service = "mahavishnu",
           .channel = "workflow:1",
           .event = "a.b",
           .position = {.epoch = "e1", .offset = offset},
           .envelope = R"({"event":"a.b","data":{"n":1.50,"big":123456789012345678901234}})",
           .received = absl::FromUnixSeconds(1'770'724'500 + offset)});
    }
  }

  // As control answers when it is asked for the newest.
  void NewestFirst() {
    std::vector<Publication>& publications = wsctl_.admin.history.publications;
    std::reverse(publications.begin(), publications.end());
  }

  ChannelInfo channel_;
  CliRunner wsctl_;
};

TEST_F(ChannelsTest, ListForPeople) {
  const Outcome outcome = wsctl_.Run({"channels", "list"});
  EXPECT_EQ(
      outcome.out,
      "SERVICE     OFFSET  PUBLICATIONS  HISTORY    BYTES  WORKERS  LAST PUBLISHED            "
      "CHANNEL\n"
      "mahavishnu      42            42       40  2.0 KiB        2  2026-02-10T11:55:00.000Z  "
      "workflow:1\n");
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(wsctl_.admin.channel_query.limit, 1000);
}

TEST_F(ChannelsTest, At80ColumnsNamesKeepTheirEnd) {
  wsctl_.terminal = true;
  wsctl_.width = 80;
  ChannelInfo& channel = wsctl_.admin.channels.channels[0];
  channel.channel = "workflow:a-name-that-is-far-too-long-for-a-terminal-of-eighty-columns_0001";
  Outcome outcome = wsctl_.Run({"channels", "--no-color"});
  EXPECT_EQ(outcome.out,
            "SERVICE     OFFSET  WORKERS  LAST PUBLISHED  CHANNEL\n"
            "mahavishnu      42        2  5m ago          "
            "workflow:a-…-of-eighty-columns_0001\n");
  wsctl_.width = 40;
  outcome = wsctl_.Run({"channels", "--no-color"});
  EXPECT_EQ(outcome.out,
            "SERVICE     OFFSET  CHANNEL\n"
            "mahavishnu      42  workfl…-columns_0001\n");
}

TEST_F(ChannelsTest, NoChannelsAreSaidInWords) {
  wsctl_.admin.channels = {};
  EXPECT_EQ(wsctl_.Run({"channels"}).out, "no channels\n");
  EXPECT_EQ(wsctl_.Run({"channels", "--pattern", "x:*"}).out, "no channels match\n");
}

TEST_F(ChannelsTest, ListAsJson) {
  EXPECT_EQ(nlohmann::json::parse(wsctl_.Run({"channels", "list", "--output", "json"}).out),
            nlohmann::json::parse(R"([{"service": "mahavishnu", "channel": "workflow:1",
                "head": {"epoch": "e1", "offset": 42}, "history_publications": 40,
                "history_bytes": 2048, "oldest_offset": 3, "publications": 42,
                "last_published": "2026-02-10T11:55:00.000Z", "workers": 2, "subscribers": 5,
                "history_size": 100, "history_ttl_seconds": 300.0,
                "backlog_policy": "drop_oldest"}])"));
}

TEST_F(ChannelsTest, ListAsksForWhatTheFlagsSay) {
  wsctl_.Run({"channels", "list", "--service", "akosha", "--pattern", "a:*", "--sort", "recent",
              "--limit", "0"});
  const ChannelQuery& query = wsctl_.admin.channel_query;
  EXPECT_EQ(query.service, "akosha");
  EXPECT_EQ(query.pattern, "a:*");
  EXPECT_EQ(query.sort, ChannelSort::kRecent);
  EXPECT_EQ(query.limit, 0);
}

TEST_F(ChannelsTest, AWarningOfControlIsShownOnStderr) {
  wsctl_.admin.warnings = {"incomplete: only 1 of 2 workers answered"};
  EXPECT_EQ(wsctl_.Run({"channels", "list"}).err, "incomplete: only 1 of 2 workers answered\n");
  wsctl_.admin.warnings = {"incomplete: only 1 of 2 workers answered"};
  EXPECT_EQ(wsctl_.Run({"channels", "show", "mahavishnu", "workflow:1", "--output", "json"}).err,
            "incomplete: only 1 of 2 workers answered\n");
}

TEST_F(ChannelsTest, AListThatWasCutSaysSo) {
  wsctl_.admin.channels.total = 5;
  EXPECT_THAT(wsctl_.Run({"channels", "list", "--limit", "1"}).err,
              "showing 1 of 5 channels; --limit 0 shows all\n");
  // Who asked for all has got all that there are: the others came or went meanwhile.
  EXPECT_EQ(wsctl_.Run({"channels", "list", "--limit", "0"}).err, "");
}

TEST_F(ChannelsTest, ShowForPeopleAndAsJson) {
  const Outcome outcome = wsctl_.Run({"channels", "show", "mahavishnu", "workflow:1"});
  EXPECT_THAT(outcome.out, HasSubstr("offset          42\n"));
  EXPECT_THAT(outcome.out, HasSubstr("history         40 of 100 publications\n"));
  EXPECT_THAT(outcome.out, HasSubstr("history ttl     5m\n"));
  EXPECT_THAT(outcome.out, HasSubstr("subscribers     5\n"));
  EXPECT_THAT(wsctl_.admin.channel_asked, Pair("mahavishnu", "workflow:1"));
  const auto json = nlohmann::json::parse(
      wsctl_.Run({"channels", "show", "mahavishnu", "workflow:1", "--output", "json"}).out);
  EXPECT_EQ(json["head"]["offset"], 42);
  EXPECT_EQ(json["subscribers"], 5);
}

TEST_F(ChannelsTest, AnUnknownChannelIsNotFound) {
  wsctl_.admin.failure = absl::NotFoundError("no channel");
  EXPECT_EQ(wsctl_.Run({"channels", "list"}).code, 69);
  EXPECT_EQ(wsctl_.Run({"channels", "show", "s", "c"}).code, 69);
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c"}).code, 69);
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--since", "4"}).code, 69);
}

TEST_F(ChannelsTest, HistoryForPeople) {
  NewestFirst();
  EXPECT_EQ(wsctl_.Run({"channels", "history", "mahavishnu", "workflow:1"}).out,
            "2026-02-10T11:55:01.000Z  workflow:1  a.b  #1  "
            "{\"n\":1.50,\"big\":123456789012345678901234}\n"
            "2026-02-10T11:55:02.000Z  workflow:1  a.b  #2  "
            "{\"n\":1.50,\"big\":123456789012345678901234}\n");
}

TEST_F(ChannelsTest, HistoryAsJsonKeepsEveryDigitOfTheEnvelope) {
  NewestFirst();
  const Outcome outcome =
      wsctl_.Run({"channels", "history", "mahavishnu", "workflow:1", "--output", "json"});
  EXPECT_THAT(outcome.out, HasSubstr(R"("data":{"n":1.50,"big":123456789012345678901234}})"));
  const auto json = nlohmann::json::parse(outcome.out);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[1]["position"], nlohmann::json::parse(R"({"epoch": "e1", "offset": 2})"));
  EXPECT_EQ(json[1]["received_at"], "2026-02-10T11:55:02.000Z");
  EXPECT_EQ(json[1]["envelope"]["event"], "a.b");
  wsctl_.admin.history.publications.clear();
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--output", "json"}).out, "[]\n");
}

TEST_F(ChannelsTest, HistoryAsksForWhatTheFlagsSay) {
  wsctl_.Run({"channels", "history", "mahavishnu", "workflow:1", "--limit", "3", "--since", "e7:5",
              "--reverse"});
  const HistoryQuery& query = wsctl_.admin.history_query;
  EXPECT_EQ(query.limit, 3u);
  EXPECT_EQ(query.since.epoch, "e7");
  EXPECT_EQ(query.since.offset, 5);
  EXPECT_TRUE(query.reverse);
}

TEST_F(ChannelsTest, TheNewestAreAskedForUnlessAPositionIsGivenToGoOnFrom) {
  const HistoryQuery& query = wsctl_.admin.history_query;
  wsctl_.Run({"channels", "history", "s", "c"});
  EXPECT_TRUE(query.reverse);
  EXPECT_FALSE(query.since.exists());
  EXPECT_FALSE(query.before.exists());
  wsctl_.Run({"channels", "history", "s", "c", "--before", "e7:5"});
  EXPECT_TRUE(query.reverse);
  EXPECT_EQ(query.before.epoch, "e7");
  EXPECT_EQ(query.before.offset, 5);
  wsctl_.Run({"channels", "history", "s", "c", "--since", "e7:5", "--before", "e7:9"});
  EXPECT_FALSE(query.reverse);
  EXPECT_EQ(query.since.offset, 5);
  EXPECT_EQ(query.before.offset, 9);
}

TEST_F(ChannelsTest, HistoryInReverseIsShownAsItComes) {
  NewestFirst();
  const Outcome outcome = wsctl_.Run({"channels", "history", "s", "c", "--reverse"});
  EXPECT_LT(outcome.out.find("#2"), outcome.out.find("#1"));
}

TEST_F(ChannelsTest, HistoryBeforeAPositionOfAnotherEpochSaysThatNothingIsKept) {
  wsctl_.admin.history = {.head = {.epoch = "e1", .offset = 2}};
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--before", "e0:9"}).err,
            "no publications before that position are kept\n"
            "epoch e0 has ended; nothing of it is kept\n");
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--before", "e1:1"}).err,
            "no publications before that position are kept\n");
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--since", "1", "--before", "e1:2"}).err,
            "no publications between those positions are kept\n");
}

TEST_F(ChannelsTest, AnOffsetAloneMeansTheEpochInForce) {
  wsctl_.Run({"channels", "history", "mahavishnu", "workflow:1", "--since", "5"});
  EXPECT_EQ(wsctl_.admin.history_query.since.epoch, "e1");
  EXPECT_EQ(wsctl_.admin.history_query.since.offset, 5);
  wsctl_.Run({"channels", "history", "mahavishnu", "workflow:1", "--before", "6"});
  EXPECT_EQ(wsctl_.admin.history_query.before.epoch, "e1");
  EXPECT_EQ(wsctl_.admin.history_query.before.offset, 6);
}

TEST_F(ChannelsTest, AnEmptyHistorySaysSoToPeople) {
  wsctl_.admin.history.publications.clear();
  const Outcome all = wsctl_.Run({"channels", "history", "s", "c"});
  EXPECT_EQ(all.out, "");
  EXPECT_EQ(all.err, "no publications of this channel are kept\n");
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--since", "e1:9"}).err,
            "no publications after that position\n");
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--output", "json"}).err, "");
}

TEST_F(ChannelsTest, HistoryAfterAPositionOfAnotherEpochSaysThatItIsAll) {
  wsctl_.admin.history.head = {.epoch = "e1", .offset = 2};
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--since", "e0:1"}).err,
            "epoch e0 has ended; these publications are of epoch e1\n");
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--since", "e1:0"}).err, "");
}

TEST_F(ChannelsTest, HistoryThatIsNotCompleteSaysWhy) {
  History& history = wsctl_.admin.history;
  history.head = {.epoch = "e1", .offset = 9};
  const std::pair<const char*, const char*> notes[] = {
      {"epoch_changed", "epoch e0 has ended; these publications are of epoch e1\n"},
      {"history_expired",
       "incomplete (history_expired): the first publications after e0:1 are not kept any more\n"},
      {"history_disabled", "incomplete (history_disabled): this channel keeps no history\n"},
      {"offset_unknown",
       "incomplete (offset_unknown): e0:1 is beyond the newest publication, e1:9\n"},
      {"new\nreason", "incomplete (new\\nreason): publications are missing\n"},
  };
  for (const auto& [reason, note] : notes) {
    history.incomplete_reason = reason;
    for (const char* output : {"table", "json"}) {
      EXPECT_EQ(
          wsctl_.Run({"channels", "history", "s", "c", "--since", "e0:1", "--output", output}).err,
          note);
    }
  }
  history.incomplete_reason = "epoch_changed";
  history.publications.clear();
  EXPECT_THAT(wsctl_.Run({"channels", "history", "s", "c", "--since", "e0:1"}).err,
              HasSubstr("epoch e0 has ended; nothing of another one is kept\n"));
}

TEST_F(ChannelsTest, MoreHistorySaysHowToGetIt) {
  wsctl_.admin.history.head = {.epoch = "e1", .offset = 2};
  wsctl_.admin.history.more = true;
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--since", "e1:0"}).err,
            "there are more; continue with --since e1:2\n");
  NewestFirst();
  for (const char* order : {"--reverse", "--limit=2"}) {
    EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", order}).err,
              "there are older publications; continue with --before e1:1\n");
  }
}

TEST_F(ChannelsTest, ABadPositionIsAUsageError) {
  for (const char* option : {"--since", "--before"}) {
    const Outcome outcome = wsctl_.Run({"channels", "history", "s", "c", option, "x"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err,
                HasSubstr(absl::StrCat(option, ": \"x\" is neither EPOCH:OFFSET nor an offset")));
  }
  EXPECT_EQ(wsctl_.Run({"channels", "history", "s", "c", "--limit", "1001"}).code, 2);
}

TEST(ParsePositionTest, EpochAndOffsetOrOffset) {
  const auto both = ParsePosition("--since", "9f86d081884c7d65:42");
  ASSERT_OK(both);
  EXPECT_EQ(both->epoch, "9f86d081884c7d65");
  EXPECT_EQ(both->offset, 42);
  const auto alone = ParsePosition("--since", "0");
  ASSERT_OK(alone);
  EXPECT_FALSE(alone->exists());
  for (const char* wrong : {"", "x", ":5", "e:", "e:-1", "-1", "e:5x"}) {
    EXPECT_TRUE(IsUsageError(ParsePosition("--since", wrong).status())) << wrong;
  }
}

}  // namespace
}  // namespace fanwire::cli
