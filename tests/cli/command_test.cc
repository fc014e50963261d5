#include "cli/command.h"

#include "cli/invocation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Kind = CommandTree::Parsed::Kind;

enum class Size { kSmall, kLarge };

// A small tree with one command of each shape.
class CommandTest : public testing::Test {
 protected:
  CommandTest() {
    Command root = tree_.root();
    root.Flag("--loud", &loud_, "Everywhere");
    Command things = root.AddGroup("things", "The things", "wsctl things list");
    things
        .AddCommand("list", "List things", "wsctl things list --limit 3",
                    [](Invocation&) { return absl::OkStatus(); })
        .Number("--limit", &limit_, 1, 10, "At most")
        .Choice<Size>("--size", &size_, {{"small", Size::kSmall}, {"large", Size::kLarge}}, "Size")
        .Duration("--wait", &wait_, "How long")
        .Texts("--tag", "TAG", &tags_, "Several");
    things
        .AddCommand("put", "Put a thing", "wsctl things put a b",
                    [](Invocation&) { return absl::InternalError("put"); })
        .Details("More about it.")
        .Argument("NAME", &name_, "Its name", Values::kServices)
        .OptionalArgument("FILE", &file_, "Its content", Values::kFiles);
    root.AddCommand("stop", "Stop workers", "wsctl stop worker-0",
                    [](Invocation&) { return absl::OkStatus(); })
        .Arguments("WORKER", &workers_, "Which", Values::kWorkers)
        .Text("--at", "PLACE", &place_, "Where", Values::kServices);
    tree_.SetTableTargets(&wide_, &columns_);
    Command groups = root.AddGroup("groups", "Groups", "wsctl groups list");
    groups
        .AddCommand("add", "Add a group", "wsctl groups add",
                    [](Invocation&) { return absl::InternalError("add"); })
        .Text("--service", "NAME", &service_, "Of this service", Values::kServices);
    root.AddCommand("old-stop", "Stop workers", "wsctl old-stop",
                    [](Invocation&) { return absl::OkStatus(); })
        .Hidden();
  }

  std::vector<std::string> Complete(const std::vector<std::string>& words) {
    return tree_.Complete(words, [](Values values) -> std::vector<std::string> {
      if (values == Values::kServices) return {"akosha", "mahavishnu"};
      if (values == Values::kWorkers) return {"worker-0", "worker-1"};
      return {};
    });
  }

  std::string UsageErrorOf(const std::vector<std::string>& words) {
    const CommandTree::Parsed parsed = tree_.Parse(words);
    EXPECT_EQ(parsed.kind, Kind::kUsageError);
    return parsed.text;
  }

  CommandTree tree_{"Does things.", "wsctl"};
  bool loud_ = false;
  bool wide_ = false;
  std::string columns_;
  uint32_t limit_ = 5;
  Size size_ = Size::kSmall;
  std::optional<absl::Duration> wait_;
  std::vector<std::string> tags_;
  std::string name_;
  std::string service_;
  std::string file_;
  std::string place_;
  std::vector<std::string> workers_;
};

// Another tree, for tests that parse more than once.
class OtherTree : public CommandTest {
 public:
  CommandTree::Parsed Parse(const std::vector<std::string>& words) { return tree_.Parse(words); }

 private:
  void TestBody() override {}
};

TEST_F(CommandTest, FlagsAndArgumentsReachTheirTargets) {
  EXPECT_EQ(tree_
                .Parse({"things", "list", "--limit", "7", "--size=large", "--wait", "1m", "--tag",
                        "a", "--tag", "b"})
                .kind,
            Kind::kRun);
  EXPECT_EQ(limit_, 7u);
  EXPECT_EQ(size_, Size::kLarge);
  EXPECT_EQ(wait_, absl::Minutes(1));
  EXPECT_THAT(tags_, ElementsAre("a", "b"));
}

TEST_F(CommandTest, DefaultsStay) {
  EXPECT_EQ(tree_.Parse({"things", "list"}).kind, Kind::kRun);
  EXPECT_EQ(limit_, 5u);
  EXPECT_EQ(size_, Size::kSmall);
  EXPECT_FALSE(wait_.has_value());
}

TEST_F(CommandTest, GlobalFlagsStandAnywhere) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--loud", "things", "list"},
        {"things", "--loud", "list"},
        {"things", "list", "--loud"}}) {
    CommandTree tree("Does things.", "wsctl");
    bool loud = false;
    tree.root().Flag("--loud", &loud, "Everywhere");
    tree.root().AddGroup("things", "", "").AddCommand("list", "", "", [](Invocation&) {
      return absl::OkStatus();
    });
    EXPECT_EQ(tree.Parse(words).kind, Kind::kRun);
    EXPECT_TRUE(loud);
  }
}

TEST_F(CommandTest, TheRunOfTheCommandNamedIsGiven) {
  const CommandTree::Parsed parsed = tree_.Parse({"things", "put", "a", "-"});
  ASSERT_EQ(parsed.kind, Kind::kRun);
  World world;
  world.environment = [](const std::string&) -> const char* { return nullptr; };
  const GlobalOptions options;
  Invocation invocation(&world, &options);
  EXPECT_EQ((*parsed.run)(invocation), absl::InternalError("put"));
  EXPECT_EQ(name_, "a");
  EXPECT_EQ(file_, "-");
}

TEST_F(CommandTest, AnArgumentMayHaveACommandsName) {
  EXPECT_EQ(tree_.Parse({"things", "put", "list", "things"}).kind, Kind::kRun);
  EXPECT_EQ(name_, "list");
  EXPECT_EQ(file_, "things");
}

TEST_F(CommandTest, AnArgumentMayBeEmptyOrLookLikeAList) {
  EXPECT_EQ(tree_.Parse({"things", "put", "", "[1]"}).kind, Kind::kRun);
  EXPECT_EQ(name_, "");
  EXPECT_EQ(file_, "[1]");
}

TEST_F(CommandTest, BehindTwoDashesEverythingIsAnArgument) {
  EXPECT_EQ(tree_.Parse({"things", "put", "--", "-a", "--loud"}).kind, Kind::kRun);
  EXPECT_EQ(name_, "-a");
  EXPECT_EQ(file_, "--loud");
  EXPECT_FALSE(loud_);
}

TEST_F(CommandTest, HelpEndsWithAnExample) {
  const CommandTree::Parsed root = tree_.Parse({"--help"});
  EXPECT_EQ(root.kind, Kind::kHelp);
  EXPECT_THAT(root.text, HasSubstr("Usage: wsctl"));
  EXPECT_THAT(root.text, HasSubstr("Exit code: 0 done, 2 usage error"));
  const CommandTree::Parsed put = tree_.Parse({"things", "put", "-h"});
  EXPECT_EQ(put.kind, Kind::kHelp);
  EXPECT_THAT(put.text, HasSubstr("Usage: wsctl things put [OPTIONS] NAME [FILE]"));
  EXPECT_THAT(put.text, HasSubstr("More about it."));
  EXPECT_THAT(put.text, testing::EndsWith("Example:\n  wsctl things put a b\n"));
  const std::string list = tree_.Parse({"things", "list", "--help"}).text;
  EXPECT_THAT(list, HasSubstr("--size small|large"));
  EXPECT_THAT(list, HasSubstr("--limit N  "));
}

TEST_F(CommandTest, HiddenCommandsRunAndAreShownNowhere) {
  EXPECT_EQ(tree_.Parse({"old-stop"}).kind, Kind::kRun);
  EXPECT_THAT(tree_.Parse({"--help"}).text, testing::Not(HasSubstr("old-stop")));
  EXPECT_THAT(Complete({"old"}), IsEmpty());
}

TEST_F(CommandTest, AGroupAloneIsItsListIfItHasOne) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"things"},
                                                {"--loud", "things"},
                                                {"things", "--limit", "7"},
                                                {"things", "--limit=7", "--loud"},
                                                {"things", "--size", "large", "--tag", "put"}}) {
    const CommandTree::Parsed parsed = OtherTree().Parse(words);
    EXPECT_EQ(parsed.kind, Kind::kRun) << parsed.text;
  }
  EXPECT_EQ(tree_.Parse({"things", "--limit", "7", "--loud"}).kind, Kind::kRun);
  EXPECT_EQ(limit_, 7u);
  EXPECT_TRUE(loud_);
  EXPECT_THAT(
      tree_.Parse({"things", "--help"}).text,
      testing::AllOf(StartsWith("The things"), HasSubstr("Without a command, `list` is meant.")));
  EXPECT_THAT(UsageErrorOf({"things", "--nope"}), HasSubstr("unexpected argument: --nope"));
  EXPECT_THAT(UsageErrorOf({"things", "--limit", "7", "lsit"}),
              HasSubstr("unknown command \"lsit\""));
}

TEST_F(CommandTest, HelpNamesTheCommandInWords) {
  tree_.root().AddHelpCommand();
  StringSink results;
  World world;
  world.results = &results;
  world.environment = [](const std::string&) -> const char* { return nullptr; };
  const GlobalOptions options;
  // Runs `words` and returns the status.
  const auto run = [&](const std::vector<std::string>& words) {
    const CommandTree::Parsed parsed = tree_.Parse(words);
    EXPECT_EQ(parsed.kind, Kind::kRun) << parsed.text;
    results.text.clear();
    Invocation invocation(&world, &options);
    return (*parsed.run)(invocation);
  };
  for (const std::vector<std::string>& path :
       {std::vector<std::string>{}, {"things"}, {"things", "put"}, {"help"}, {"old-stop"}}) {
    std::vector<std::string> words = path;
    words.insert(words.begin(), "help");
    EXPECT_EQ(run(words), absl::OkStatus());
    words = path;
    words.emplace_back("--help");
    EXPECT_EQ(results.text, tree_.Parse(words).text);
  }
  EXPECT_EQ(run({"help", "thing"}).message(),
            "unknown command \"thing\"; did you mean \"things\"?\nTry `wsctl --help`.");
  EXPECT_EQ(run({"help", "things", "x"}).message(),
            "unknown command \"x\"\nTry `wsctl things --help`.");
  EXPECT_EQ(results.text, "");
  EXPECT_THAT(Complete({"help", "th"}), ElementsAre("things"));
  EXPECT_THAT(Complete({"help", "things", ""}), ElementsAre("list", "put"));
}

TEST_F(CommandTest, ArgumentsThatAreNotUtf8AreNamed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"things", "put", "caf\xe9"}, "wsctl: NAME: \"caf\\xe9\" is not UTF-8\n"},
      {{"things", "list", "--tag", "a", "--tag", "\xff"}, "wsctl: --tag: \"\\xff\" is not UTF-8\n"},
      {{"things", "list", "--size", "\xed\xa0\x80"},
       "wsctl: --size: \"\\xed\\xa0\\x80\" is not one"},
      {{"stop", "worker-0", "w\xc3"}, "wsctl: WORKER: \"w\\xc3\" is not UTF-8\n"},
      {{"\xe9"}, "wsctl: unknown command \"\\xe9\"\n"},
      {{"things", "put", "a", "b", "\xe9"}, "wsctl: unexpected argument: \\xe9\n"},
      {{"things", "list", "--limit", "\xe9"}, "\"\\xe9\" is not a number"},
  };
  for (const auto& [words, text] : cases) {
    const CommandTree::Parsed parsed = OtherTree().Parse(words);
    EXPECT_EQ(parsed.kind, Kind::kUsageError);
    EXPECT_THAT(parsed.text, HasSubstr(text));
  }
  // The name of a file may be any bytes, and so may what asks for them.
  EXPECT_EQ(tree_.Parse({"things", "put", "a", "caf\xe9"}).kind, Kind::kRun);
  EXPECT_EQ(file_, "caf\xe9");
  tree_.root()
      .AddCommand("raw", "", "", [](Invocation&) { return absl::OkStatus(); })
      .Text("--raw", "TEXT", &place_, "")
      .AnyBytes("--raw");
  EXPECT_EQ(tree_.Parse({"raw", "--raw", "\xff"}).kind, Kind::kRun);
}

TEST_F(CommandTest, AShortNameIsAChoiceToo) {
  tree_.root()
      .AddCommand("sized", "", "", [](Invocation&) { return absl::OkStatus(); })
      .Choice<Size>("-s,--size", &size_, {{"small", Size::kSmall}, {"large", Size::kLarge}}, "");
  EXPECT_EQ(tree_.Parse({"sized", "-s", "large"}).kind, Kind::kRun);
  EXPECT_EQ(size_, Size::kLarge);
  EXPECT_THAT(UsageErrorOf({"sized", "-s", "huge"}), HasSubstr("wsctl: --size: \"huge\""));
  EXPECT_THAT(Complete({"sized", "-s", "l"}), ElementsAre("large"));
  EXPECT_THAT(Complete({"sized", "-"}), testing::Contains("--size"));
}

TEST_F(CommandTest, AGroupIsCompletedWithTheFlagsOfItsList) {
  EXPECT_THAT(Complete({"things", "--l"}), ElementsAre("--limit", "--loud"));
  EXPECT_THAT(Complete({"things", "--size", ""}), ElementsAre("large", "small"));
  EXPECT_THAT(Complete({"things", "--size=l"}), ElementsAre("--size=large"));
}

TEST_F(CommandTest, AGroupAloneShowsItsHelpAsAUsageError) {
  EXPECT_THAT(UsageErrorOf({"groups"}), StartsWith("Groups"));
  EXPECT_THAT(UsageErrorOf({}), StartsWith("Does things."));
}

TEST_F(CommandTest, UsageErrorsSayWhatAndWhereToLook) {
  const struct {
    std::vector<std::string> words;
    const char* text;
  } cases[] = {
      {{"thing"},
       "wsctl: unknown command \"thing\"; did you mean \"things\"?\nTry `wsctl --help`."},
      {{"xyzzy"}, "wsctl: unknown command \"xyzzy\"\n"},
      {{"things", "lsit"}, "did you mean \"list\"?\nTry `wsctl things --help`."},
      {{"olds-top"}, "unknown command \"olds-top\"\n"},  // hidden commands are not suggested
      {{"things", "list", "--nope"},
       "unexpected argument: --nope\nTry `wsctl things list --help`."},
      {{"things", "put"}, "NAME is required"},
      {{"things", "put", "a", "b", "c"}, "unexpected argument: c"},
      {{"groups", "add", "akosha"},
       "unexpected argument: akosha; did you mean --service akosha?\n"},
      {{"groups", "add", "akosha", "b"}, "unexpected argument: akosha b\n"},
      {{"things", "list", "--limit", "11"}, "--limit: \"11\" is not a number from 1 to 10\n"},
      {{"things", "list", "--limit", "many"}, "--limit: \"many\" is not a number from 1 to 10\n"},
      {{"things", "list", "--limit", "-1"}, "--limit: \"-1\" is not a number from 1 to 10\n"},
      {{"things", "list", "--limit"}, "wsctl: --limit needs N\n"},
      {{"stop", "--at"}, "wsctl: --at needs PLACE\n"},
      {{"stop", "--at", "a", "--at", "b"}, "wsctl: --at is given 2 times; give it once\n"},
      {{"things", "list", "--size", "huge"}, "--size: \"huge\" is not one of small, large\n"},
      {{"things", "list", "--wait", "soon"},
       "--wait: \"soon\" is not a duration; write 250ms, 5s, 10m or 24h\n"},
  };
  for (const auto& [words, text] : cases) EXPECT_THAT(UsageErrorOf(words), HasSubstr(text));
}

TEST_F(CommandTest, CompletesCommandsAndFlags) {
  EXPECT_THAT(Complete({""}), ElementsAre("groups", "stop", "things"));
  EXPECT_THAT(Complete({"th"}), ElementsAre("things"));
  EXPECT_THAT(Complete({"things", ""}), ElementsAre("list", "put"));
  EXPECT_THAT(Complete({"things", "list", "--l"}), ElementsAre("--limit", "--loud"));
  EXPECT_THAT(Complete({"nonsense", ""}), ElementsAre("groups", "stop", "things"));
  EXPECT_THAT(Complete({}), IsEmpty());
}

TEST_F(CommandTest, CompletesValuesOfFlags) {
  EXPECT_THAT(Complete({"things", "list", "--size", ""}), ElementsAre("large", "small"));
  EXPECT_THAT(Complete({"things", "list", "--size=l"}), ElementsAre("--size=large"));
  EXPECT_THAT(Complete({"stop", "--at", "m"}), ElementsAre("mahavishnu"));
  EXPECT_THAT(Complete({"stop", "--at=m"}), ElementsAre("--at=mahavishnu"));
  EXPECT_THAT(Complete({"things", "list", "--limit", ""}), IsEmpty());
  EXPECT_THAT(Complete({"things", "list", "--nope="}), IsEmpty());
}

TEST_F(CommandTest, CompletesArgumentsByTheirPlace) {
  EXPECT_THAT(Complete({"things", "put", ""}), ElementsAre("akosha", "mahavishnu"));
  EXPECT_THAT(Complete({"things", "put", "akosha", ""}), ElementsAre(":files"));
  EXPECT_THAT(Complete({"things", "put", "akosha", "x", ""}), IsEmpty());
  EXPECT_THAT(Complete({"stop", "worker-0", "--at", "here", "w"}),
              ElementsAre("worker-0", "worker-1"));
  EXPECT_THAT(Complete({"--loud", "things", "put", "m"}), ElementsAre("mahavishnu"));
}

TEST_F(CommandTest, PathsAndExamplesCoverTheTree) {
  EXPECT_THAT(tree_.Paths(),
              testing::UnorderedElementsAre(
                  IsEmpty(), ElementsAre("things"), ElementsAre("things", "list"),
                  ElementsAre("things", "put"), ElementsAre("stop"), ElementsAre("old-stop"),
                  ElementsAre("groups"), ElementsAre("groups", "add")));
  EXPECT_EQ(tree_.Examples().size(), 8u);
}

}  // namespace
}  // namespace fanwire::cli
