#include "fanout/client_message.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::Pointee;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using MessageKind = ClientMessage::Kind;

ClientMessage Parse(absl::string_view text, bool component_id_is_channel = false) {
  absl::StatusOr<ClientMessage> message = ParseClientMessage(text, component_id_is_channel);
  EXPECT_OK(message) << text;
  return message.ok() ? *std::move(message) : ClientMessage();
}

void ExpectBad(absl::string_view text, absl::string_view why) {
  EXPECT_THAT(ParseClientMessage(text, false),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(why))))
      << text;
}

TEST(ClientMessageTest, WhatIsNoMessageIsRefusedWithTheFault) {
  ExpectBad("", "not JSON");
  ExpectBad("{\"type\":", "not JSON");
  ExpectBad("{\"type\":\"ping\"} x", "not JSON");
  ExpectBad("[]", "not a JSON object");
  ExpectBad("{}", "\"type\" is missing");
  ExpectBad(R"({"type":1})", "\"type\" is not a text");
  ExpectBad(R"({"type":"publish"})", "\"type\" is not a known message type");
}

TEST(ClientMessageTest, NestingIsBounded) {
  const auto nested = [](int levels) {
    return absl::StrCat(R"({"type":"request","event":"x","data":{"a":)",
                        std::string(levels - 2, '['), std::string(levels - 2, ']'), "}}");
  };
  EXPECT_TRUE(ParseClientMessage(nested(64), false).ok());
  ExpectBad(nested(65), "nested deeper than 64");
  ExpectBad(nested(500000), "nested deeper than 64");
}

TEST(ClientMessageTest, MembersOfAnotherTypeAreRefusedByName) {
  ExpectBad(R"({"type":"ping","id":1})", "\"id\" is not a text");
  ExpectBad(R"({"type":"ping","id":null})", "\"id\" is not a text");
  ExpectBad(R"({"type":"ping","timestamp":5})", "\"timestamp\" is not a text");
  ExpectBad(R"({"type":"ping","timestamp":null})", "\"timestamp\" is not a text");
  ExpectBad(R"({"type":"ping","correlation_id":1})", "\"correlation_id\"");
  ExpectBad(R"({"type":"ping","event":[]})", "\"event\"");
  ExpectBad(R"({"type":"ping","room":{}})", "\"room\"");
  ExpectBad(R"({"type":"ping","error_code":1})", "\"error_code\"");
  ExpectBad(R"({"type":"ping","error_message":1})", "\"error_message\"");
  ExpectBad(R"({"type":"ping","data":null})", "\"data\" is not an object");
  ExpectBad(R"({"type":"ping","data":[]})", "\"data\" is not an object");
}

TEST(ClientMessageTest, NullsAndUnknownMembersAreTaken) {
  const ClientMessage message =
      Parse(R"({"type":"ping","id":"a","correlation_id":null,"event":null,"room":null,)"
            R"("error_code":null,"error_message":null,"data":{},"timestamp":"x","extra":[1]})");
  EXPECT_EQ(message.kind, MessageKind::kPing);
  EXPECT_THAT(message.id, Optional(std::string("a")));
  EXPECT_EQ(message.correlation_id, std::nullopt);
}

TEST(ClientMessageTest, EveryFormOfSubscribeIsOne) {
  for (const char* text : {
           R"({"type":"request","event":"subscribe","data":{"channel":"a:1"}})",
           R"({"type":"request","event":"subscribe","data":{"room":"a:1"}})",
           R"({"type":"event","event":"subscribe","data":{"room":"a:1"}})",
           R"({"type":"subscribe","data":{"channel":"a:1"}})",
           R"({"type":"subscribe","event":"whatever","data":{"channel":"a:1","room":"b"}})",
       }) {
    const ClientMessage message = Parse(text);
    EXPECT_EQ(message.kind, MessageKind::kSubscribe) << text;
    EXPECT_FALSE(message.many);
    ASSERT_THAT(message.channels, SizeIs(1));
    EXPECT_EQ(message.channels[0].channel, "a:1") << text;
    EXPECT_TRUE(message.channels[0].channel_is_text);
  }
}

TEST(ClientMessageTest, EveryFormOfUnsubscribeIsOne) {
  for (const char* text : {
           R"({"type":"request","event":"unsubscribe","data":{"channel":"a:1"}})",
           R"({"type":"event","event":"unsubscribe","data":{"room":"a:1"}})",
           R"({"type":"unsubscribe","data":{"channel":"a:1"}})",
       }) {
    EXPECT_EQ(Parse(text).kind, MessageKind::kUnsubscribe) << text;
  }
}

TEST(ClientMessageTest, AChannelThatIsMissingOrNoTextIsToldApart) {
  for (const char* data : {"{}", R"({"channel":5})", R"({"channel":null})", R"({"room":["a"]})",
                           R"({"component_id":"c"})"}) {
    const ClientMessage message = Parse(absl::StrCat(R"({"type":"subscribe","data":)", data, "}"));
    ASSERT_THAT(message.channels, SizeIs(1)) << data;
    EXPECT_FALSE(message.channels[0].channel_is_text) << data;
  }
  EXPECT_TRUE(Parse(R"({"type":"subscribe","data":{"channel":""}})").channels[0].channel_is_text);
}

TEST(ClientMessageTest, ANullNamesNothingAndTheNextKeyCounts) {
  const ClientMessage room = Parse(R"({"type":"subscribe","data":{"channel":null,"room":"a"}})");
  EXPECT_EQ(room.channels[0].channel, "a");
  EXPECT_TRUE(room.channels[0].channel_is_text);
  EXPECT_EQ(Parse(R"({"type":"subscribe","data":{"channels":[{"channel":null,"room":"a"}]}})")
                .channels[0]
                .channel,
            "a");
  const ClientMessage component =
      Parse(R"({"type":"subscribe","data":{"channel":null,"room":null,"component_id":"c"}})", true);
  EXPECT_EQ(component.channels[0].channel, "component:c");
  const ClientMessage one = Parse(R"({"type":"subscribe","data":{"channels":null,"room":"a"}})");
  EXPECT_FALSE(one.many);
  EXPECT_EQ(one.channels[0].channel, "a");
  // Another type is a mistake, not nothing.
  EXPECT_FALSE(
      Parse(R"({"type":"subscribe","data":{"channel":5,"room":"a"}})").channels[0].channel_is_text);
}

TEST(ClientMessageTest, AComponentIdMeansItsChannelWhereTheServiceSaysSo) {
  const char* const text = R"({"type":"subscribe","data":{"component_id":"c7"}})";
  EXPECT_EQ(Parse(text, true).channels[0].channel, "component:c7");
  const char* const named = R"({"type":"subscribe","data":{"component_id":"component:c7"}})";
  EXPECT_EQ(Parse(named, true).channels[0].channel, "component:c7");
  const char* const both = R"({"type":"subscribe","data":{"component_id":"c7","channel":"a"}})";
  EXPECT_EQ(Parse(both, true).channels[0].channel, "a");
}

TEST(ClientMessageTest, StateIsTrueOrFalse) {
  const auto state_of = [](absl::string_view json) {
    return Parse(absl::StrCat(R"({"type":"subscribe","data":{"channel":"a","state":)", json, "}}"))
        .channels[0];
  };
  EXPECT_TRUE(state_of("true").state);
  EXPECT_FALSE(state_of("true").state_is_bad);
  for (const char* no : {"false", "null"}) {
    EXPECT_FALSE(state_of(no).state) << no;
    EXPECT_FALSE(state_of(no).state_is_bad) << no;
  }
  for (const char* bad : {"1", "\"true\"", "{}", "[]"})
    EXPECT_TRUE(state_of(bad).state_is_bad) << bad;
  const ClientMessage many =
      Parse(R"({"type":"subscribe","data":{"channels":["a",{"channel":"b"}],"state":true}})");
  EXPECT_TRUE(many.channels[0].state && many.channels[1].state);
}

TEST(ClientMessageTest, RecoverIsAnEpochAndAnOffset) {
  const auto recover_of = [](absl::string_view json) {
    return Parse(
               absl::StrCat(R"({"type":"subscribe","data":{"channel":"a","recover":)", json, "}}"))
        .channels[0];
  };
  const ChannelRequest good = recover_of(R"({"epoch":"e1","offset":7})");
  ASSERT_TRUE(good.recover.has_value());
  EXPECT_EQ(good.recover->epoch, "e1");
  EXPECT_EQ(good.recover->offset, 7);
  EXPECT_FALSE(good.recover_is_bad);
  const ChannelRequest absent = recover_of("null");
  EXPECT_FALSE(absent.recover.has_value());
  EXPECT_FALSE(absent.recover_is_bad);
  for (const char* bad :
       {"true", "{}", R"({"epoch":"e"})", R"({"offset":1})", R"({"epoch":1,"offset":1})",
        R"({"epoch":"e","offset":"1"})", R"({"epoch":"e","offset":1.5})",
        R"({"epoch":"e","offset":-1})", R"({"epoch":"e","offset":18446744073709551615})",
        R"({"epoch":"e","offset":1e400})"}) {
    EXPECT_TRUE(recover_of(bad).recover_is_bad) << bad;
    EXPECT_FALSE(recover_of(bad).recover.has_value()) << bad;
  }
}

TEST(ClientMessageTest, EventsAreAListOfNames) {
  const auto of = [](absl::string_view json) {
    return Parse(absl::StrCat(R"({"type":"subscribe","data":{"channel":"a","events":)", json, "}}"))
        .channels[0];
  };
  EXPECT_THAT(of(R"(["x","y"])").events, Pointee(UnorderedElementsAre("x", "y")));
  // An empty list filters nothing.
  EXPECT_EQ(of("[]").events, nullptr);
  EXPECT_EQ(of("[]").events_fault, "");
  EXPECT_EQ(of("null").events, nullptr);
  for (const char* bad : {"\"x\"", "[1]", R"(["x",null])", "{}"}) {
    EXPECT_EQ(of(bad).events_fault, "a list of event names is wanted") << bad;
  }
}

TEST(ClientMessageTest, ANameThatNoEventCanHaveIsNoFilter) {
  const auto fault_of = [](const std::string& name) {
    return Parse(absl::StrCat(R"({"type":"subscribe","data":{"channel":"a","events":["x",")", name,
                              "\"]}}"))
        .channels[0]
        .events_fault;
  };
  EXPECT_EQ(fault_of("*"), "name 2: \"*\" has a '*', and no event's name can");
  EXPECT_EQ(fault_of(""), "name 2: empty");
  EXPECT_EQ(fault_of(std::string(129, 'e')), "name 2: 129 bytes, at most 128 allowed");
  EXPECT_EQ(fault_of("a\\nb"), "name 2: control character at byte 1");
  EXPECT_EQ(fault_of("workflow.started"), "");
}

TEST(ClientMessageTest, ManyChannelsAreNamesOrObjectsEachWithItsOptions) {
  const ClientMessage message =
      Parse(R"({"type":"subscribe","data":{"channels":["a",{"channel":"b","recover":)"
            R"({"epoch":"e","offset":1}},{"room":"c","events":["x"]},7]}})");
  EXPECT_TRUE(message.many);
  EXPECT_FALSE(message.channels_are_bad);
  ASSERT_THAT(message.channels, SizeIs(4));
  EXPECT_EQ(message.channels[0].channel, "a");
  EXPECT_EQ(message.channels[1].channel, "b");
  EXPECT_TRUE(message.channels[1].recover.has_value());
  EXPECT_EQ(message.channels[2].channel, "c");
  EXPECT_THAT(message.channels[2].events, Pointee(ElementsAre("x")));
  EXPECT_FALSE(message.channels[3].channel_is_text);
}

TEST(ClientMessageTest, AFilterBesideManyChannelsHoldsForThoseWithoutOneOfTheirOwn) {
  const ClientMessage message =
      Parse(R"({"type":"subscribe","data":{"events":["x","y"],"channels":["a",{"channel":"b"},)"
            R"({"channel":"c","events":["z"]},{"channel":"d","events":null},)"
            R"({"channel":"e","events":7}]}})");
  ASSERT_THAT(message.channels, SizeIs(5));
  EXPECT_THAT(message.channels[0].events, Pointee(UnorderedElementsAre("x", "y")));
  EXPECT_THAT(message.channels[1].events, Pointee(UnorderedElementsAre("x", "y")));
  EXPECT_THAT(message.channels[2].events, Pointee(ElementsAre("z")));
  EXPECT_THAT(message.channels[3].events, Pointee(UnorderedElementsAre("x", "y")));
  EXPECT_NE(message.channels[4].events_fault, "");
  EXPECT_EQ(message.channels[4].events, nullptr);
  // However many channels share it, it exists once.
  EXPECT_EQ(message.channels[0].events, message.channels[3].events);
  const ClientMessage bad =
      Parse(R"({"type":"subscribe","data":{"events":"x","channels":["a",{"channel":"b",)"
            R"("events":["z"]}]}})");
  EXPECT_NE(bad.channels[0].events_fault, "");
  EXPECT_EQ(bad.channels[1].events_fault, "");
  // An empty list of its own lets everything through.
  const ClientMessage own =
      Parse(R"({"type":"subscribe","data":{"events":["x"],"channels":[{"channel":"a",)"
            R"("events":[]},"b"]}})");
  EXPECT_EQ(own.channels[0].events, nullptr);
  EXPECT_THAT(own.channels[1].events, Pointee(ElementsAre("x")));
}

TEST(ClientMessageTest, InfoIsAnObjectAndHoldsForManyChannels) {
  const ClientMessage one =
      Parse(R"({"type":"subscribe","data":{"channel":"a","info":{ "name" : "Ana" }}})");
  EXPECT_THAT(one.channels[0].info, Pointee(std::string(R"({"name":"Ana"})")));
  EXPECT_FALSE(one.channels[0].info_is_bad);
  for (const char* bad : {"7", "\"Ana\"", "[]", "true"}) {
    const ClientMessage message =
        Parse(absl::StrCat(R"({"type":"subscribe","data":{"channel":"a","info":)", bad, "}}"));
    EXPECT_TRUE(message.channels[0].info_is_bad) << bad;
    EXPECT_EQ(message.channels[0].info, nullptr);
  }
  const ClientMessage none = Parse(R"({"type":"subscribe","data":{"channel":"a","info":null}})");
  EXPECT_FALSE(none.channels[0].info_is_bad);
  const ClientMessage many =
      Parse(R"({"type":"subscribe","data":{"info":{"n":1},"channels":["a",)"
            R"({"channel":"b","info":{"n":2}},{"channel":"c","info":3},"d"]}})");
  EXPECT_THAT(many.channels[0].info, Pointee(std::string(R"({"n":1})")));
  EXPECT_THAT(many.channels[1].info, Pointee(std::string(R"({"n":2})")));
  EXPECT_TRUE(many.channels[2].info_is_bad);
  EXPECT_EQ(many.channels[0].info, many.channels[3].info);  // it exists once
}

TEST(ClientMessageTest, ManyChannelsAreAListOfBoundedLength) {
  EXPECT_TRUE(Parse(R"({"type":"subscribe","data":{"channels":"a"}})").channels_are_bad);
  const auto list_of = [](size_t count) {
    std::string text = R"({"type":"subscribe","data":{"channels":[)";
    for (size_t i = 0; i < count; ++i) absl::StrAppend(&text, i > 0 ? "," : "", "\"a\"");
    return text + "]}}";
  };
  EXPECT_FALSE(Parse(list_of(kMaxChannelsPerMessage)).channels_are_bad);
  EXPECT_TRUE(Parse(list_of(kMaxChannelsPerMessage + 1)).channels_are_bad);
}

TEST(ClientMessageTest, PingComesAsTypeOrAsRequest) {
  EXPECT_EQ(Parse(R"({"type":"ping"})").kind, MessageKind::kPing);
  EXPECT_EQ(Parse(R"({"type":"request","event":"ping"})").kind, MessageKind::kPing);
  EXPECT_EQ(Parse(R"({"type":"event","event":"ping"})").kind, MessageKind::kIgnored);
}

TEST(ClientMessageTest, AuthHasATokenIfItIsText) {
  const ClientMessage good = Parse(R"({"type":"request","event":"auth","data":{"token":"t"}})");
  EXPECT_EQ(good.kind, MessageKind::kAuth);
  EXPECT_THAT(good.token, Optional(std::string("t")));
  EXPECT_EQ(Parse(R"({"type":"request","event":"auth","data":{"token":1}})").token, std::nullopt);
  EXPECT_EQ(Parse(R"({"type":"request","event":"auth"})").token, std::nullopt);
}

TEST(ClientMessageTest, RefreshTokenIsARequestAlone) {
  const ClientMessage refresh =
      Parse(R"({"type":"request","event":"refresh_token","data":{"token":"t"}})");
  EXPECT_EQ(refresh.kind, MessageKind::kRefreshToken);
  EXPECT_THAT(refresh.token, Optional(std::string("t")));
  EXPECT_EQ(Parse(R"({"type":"event","event":"refresh_token","data":{"token":"t"}})").kind,
            MessageKind::kIgnored);
}

TEST(ClientMessageTest, TheDataOfARequestKeepsEveryDigitAndEveryMember) {
  const ClientMessage request =
      Parse(R"({"data":{"n":0},"type":"request","event":"x","data":{ "b":12345678901234567890123,)"
            R"( "a":[-0, 1.0], "a":"\u0041 b" } , "id":"1"})");
  EXPECT_EQ(request.data, R"({"b":12345678901234567890123,"a":[-0,1.0],"a":"\u0041 b"})");
  const std::string large =
      absl::StrCat(R"({"a":1e400,"b":[-1.50E+999],"c":)", std::string(400, '9'), "}");
  EXPECT_EQ(Parse(absl::StrCat(R"({"type":"request","event":"x","data":)", large, "}")).data,
            large);
}

TEST(ClientMessageTest, OtherRequestsKeepTheirDataAndOtherTypesAreIgnored) {
  const ClientMessage request =
      Parse(R"({"type":"request","event":"history","data":{"channel":"a", "limit": 5, "n":"ü"}})");
  EXPECT_EQ(request.kind, MessageKind::kRequest);
  EXPECT_EQ(request.data, R"({"channel":"a","limit":5,"n":"ü"})");
  EXPECT_THAT(request.channel, Optional(std::string("a")));
  EXPECT_EQ(Parse(R"({"type":"request"})").kind, MessageKind::kRequest);
  EXPECT_EQ(Parse(R"({"type":"request"})").data, "{}");
  for (const char* type : {"event", "response", "error", "pong", "ack"}) {
    EXPECT_EQ(Parse(absl::StrCat(R"({"type":")", type, "\"}")).kind, MessageKind::kIgnored) << type;
  }
}

// ------------------------------------------------------------------------------- publications

ClientMessage ParsePublishing(absl::string_view text) {
  absl::StatusOr<ClientMessage> message = ParseClientMessage(text, false, /*publishing=*/true);
  EXPECT_OK(message) << text;
  return message.ok() ? *std::move(message) : ClientMessage();
}

ClientPublication PublicationIn(absl::string_view text) {
  ClientMessage message = ParsePublishing(text);
  EXPECT_EQ(message.kind, MessageKind::kPublish) << text;
  return message.publication == nullptr ? ClientPublication() : *std::move(message.publication);
}

TEST(ClientMessageTest, PublishIsACommandWhereClientsMayPublish) {
  for (const char* type : {"request", "event"}) {
    const ClientPublication publication = PublicationIn(
        absl::StrCat(R"({"type":")", type,
                     R"(","event":"publish","room":"r","data":{"channel":"c","event":"e",)"
                     R"("data":{ "a" : 1.50 },"echo":false}})"));
    EXPECT_FALSE(publication.itself);
    EXPECT_EQ(publication.channel, "c");
    EXPECT_EQ(publication.event, "e");
    EXPECT_EQ(publication.data, R"({"a":1.50})");
    EXPECT_FALSE(publication.echo);
    EXPECT_EQ(publication.fault, "");
  }
  EXPECT_EQ(Parse(R"({"type":"request","event":"publish"})").kind, MessageKind::kRequest);
  EXPECT_EQ(Parse(R"({"type":"event","event":"publish"})").kind, MessageKind::kIgnored);
}

TEST(ClientMessageTest, APublishNamesItsChannelInThreeWays) {
  EXPECT_EQ(PublicationIn(R"({"type":"request","event":"publish","data":{"room":"a"}})").channel,
            "a");
  EXPECT_EQ(PublicationIn(R"({"type":"request","event":"publish","room":"b"})").channel, "b");
  EXPECT_EQ(
      PublicationIn(R"({"type":"request","event":"publish","room":"b","data":{"channel":null}})")
          .channel,
      "b");
  EXPECT_EQ(PublicationIn(R"({"type":"request","event":"publish","room":"b","data":{"channel":1}})")
                .channel,
            std::nullopt);
  EXPECT_EQ(PublicationIn(R"({"type":"request","event":"publish"})").channel, std::nullopt);
}

TEST(ClientMessageTest, APublishSaysWhatIsWrongWithIt) {
  const auto fault = [](const std::string& data) {
    return PublicationIn(R"({"type":"request","event":"publish","data":)" + data + "}").fault;
  };
  EXPECT_EQ(fault(R"({"event":"e"})"), "");
  EXPECT_EQ(fault(R"({"event":"e","data":null,"echo":null})"), "");
  EXPECT_EQ(fault("{}"), "publish: data.event is missing");
  EXPECT_EQ(fault(R"({"event":1})"), "publish: data.event is not a text");
  EXPECT_EQ(fault(R"({"event":"e","data":"x"})"), "publish: data.data is not an object");
  EXPECT_EQ(fault(R"({"event":"e","echo":"no"})"), "publish: data.echo is neither true nor false");
}

TEST(ClientMessageTest, AnyOtherEventIsAPublicationItself) {
  const ClientPublication publication = PublicationIn(
      R"({"type":"event","event":"diagram.updated","data":{"room": "x", "echo": false}})");
  EXPECT_TRUE(publication.itself);
  EXPECT_EQ(publication.event, "diagram.updated");
  EXPECT_EQ(publication.data, R"({"room":"x","echo":false})");
  EXPECT_EQ(publication.channel, std::nullopt);  // data.room is a key of the event
  EXPECT_FALSE(publication.echo);
  EXPECT_EQ(
      PublicationIn(R"({"type":"event","event":"e","data":{"channel":"c"},"room":"r"})").channel,
      "c");
  EXPECT_EQ(PublicationIn(R"({"type":"event","event":"e","room":"r"})").channel, "r");
  EXPECT_EQ(PublicationIn(R"({"type":"event","event":"e"})").data, "{}");
  // Of two keys of one name the last is meant, in the channel and in the data.
  EXPECT_EQ(
      PublicationIn(R"({"type":"event","event":"e","data":{"channel":"a"},"data":{"channel":"b"}})")
          .data,
      R"({"channel":"b"})");
  for (const char* text : {R"({"type":"event"})", R"({"type":"response","event":"e"})",
                           R"({"type":"ack","event":"publish"})"}) {
    EXPECT_EQ(ParsePublishing(text).kind, MessageKind::kIgnored) << text;
  }
  EXPECT_EQ(ParsePublishing(R"({"type":"event","event":"subscribe"})").kind,
            MessageKind::kSubscribe);
  EXPECT_EQ(ParsePublishing(R"({"type":"request","event":"other"})").kind, MessageKind::kRequest);
}

}  // namespace
}  // namespace fanwire::fanout
