#include "control/events/envelope.h"

#include <nlohmann/json.hpp>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using Json = nlohmann::json;

std::string Envelope(const EnvelopeParts& parts, bool seal) {
  const PublicationPtr publication =
      Publication::Make({.max_envelope_bytes = MaxEnvelopeBytes(parts)});
  WriteEnvelope(parts, publication.get());
  if (seal) publication->Seal(Epoch{.value = 1}, INT64_MAX);
  EXPECT_EQ(publication->data(), parts.data);
  return std::string(publication->envelope());
}

TEST(EnvelopeTest, HasItsKeysInTheDocumentedOrderAndTheDataByteForByte) {
  const EnvelopeParts parts{.id = "id-1",
                            .event = "workflow.started",
                            .data = "{ \"b\":1.0 , \"a\":\"\\u00e4\" }",
                            .timestamp = "2026-02-10T20:00:00.000000+00:00",
                            .room = "workflow:wf_1"};
  EXPECT_EQ(Envelope(parts, /*seal=*/false),
            R"({"id":"id-1","correlation_id":null,"type":"event","event":"workflow.started",)"
            "\"data\":{ \"b\":1.0 , \"a\":\"\\u00e4\" },"
            R"("timestamp":"2026-02-10T20:00:00.000000+00:00","room":"workflow:wf_1",)"
            R"("error_code":null,"error_message":null})");
}

TEST(EnvelopeTest, WithAPositionItIsStillOneObject) {
  const EnvelopeParts parts{.id = "i", .event = "e", .data = "{}", .timestamp = "t", .room = "r"};
  const Json sealed = Json::parse(Envelope(parts, /*seal=*/true));
  EXPECT_EQ(sealed["offset"], INT64_MAX);
  EXPECT_EQ(sealed["epoch"], "0000000000000001");
  EXPECT_EQ(sealed["room"], "r");
}

TEST(EnvelopeTest, APublisherComesBeforeThePosition) {
  const EnvelopeParts parts{.id = "i",
                            .event = "e",
                            .data = "{}",
                            .timestamp = "t",
                            .room = "r",
                            .publisher = R"({"connection_id":"c","user_id":null})"};
  const std::string end =
      R"("error_message":null,"publisher":{"connection_id":"c","user_id":null})";
  const std::string open = Envelope(parts, /*seal=*/false);
  const std::string sealed = Envelope(parts, /*seal=*/true);
  EXPECT_EQ(open.substr(open.size() - end.size() - 1), end + "}");
  EXPECT_NE(sealed.find(end + ",\"offset\":"), std::string::npos);
  EXPECT_EQ(Json::parse(sealed)["publisher"]["connection_id"], "c");
  EXPECT_LE(sealed.size(), MaxEnvelopeBytes(parts));
}

TEST(EnvelopeTest, EveryTextIsEscapedAndReadsBackTheSame) {
  std::string text = "ä😀\"\\/";
  for (char c = 1; c < 0x20; ++c) text.push_back(c);
  text.push_back('\0');
  text.push_back(0x7f);
  const EnvelopeParts parts{
      .id = text, .event = text, .data = "{}", .timestamp = "t", .room = text};
  const Json envelope = Json::parse(Envelope(parts, /*seal=*/true));
  EXPECT_EQ(envelope["id"], text);
  EXPECT_EQ(envelope["event"], text);
  EXPECT_EQ(envelope["room"], text);
}

TEST(EnvelopeTest, TheBytesFoundNecessaryAreNeverTooFewAndAtMostThoseOfThePosition) {
  for (const std::string& text : {std::string(), std::string("plain"), std::string(300, '"'),
                                  std::string(300, '\x01'), std::string(300, '\n')}) {
    const EnvelopeParts parts{
        .id = text, .event = text, .data = "{}", .timestamp = "t", .room = text};
    const size_t room = MaxEnvelopeBytes(parts);
    EXPECT_LE(Envelope(parts, /*seal=*/true).size(), room);
    EXPECT_LE(room - Publication::kSealBytes, Envelope(parts, /*seal=*/false).size() + 3 * 4 * 300);
  }
}

TEST(AppendJsonTextTest, AppendsBehindWhatIsThere) {
  std::string out = "[";
  AppendJsonText("a\tb\x1f\"", &out);
  EXPECT_EQ(out, R"(["a\tb\u001f\"")");
}

TEST(IsUtf8Test, TellsUtf8FromOtherBytes) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("ä😀"));
  EXPECT_FALSE(IsUtf8("\xff"));
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80"));
}

}  // namespace
}  // namespace fanwire::control
