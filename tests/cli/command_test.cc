#include "cli/command.h"

#include "cli/invocation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

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
  uint32_t limit_ = 5;
  Size size_ = Size::kSmall;
  std::optional<absl::Duration> wait_;
  std::vector<std::string> tags_;
  std::string name_;
  std::string file_;
  std::string place_;
  std::vector<std::string> workers_;
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

TEST_F(CommandTest, AGroupAloneShowsItsHelpAsAUsageError) {
  EXPECT_THAT(UsageErrorOf({"things"}), StartsWith("The things"));
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
  EXPECT_THAT(Complete({""}), ElementsAre("stop", "things"));
  EXPECT_THAT(Complete({"th"}), ElementsAre("things"));
  EXPECT_THAT(Complete({"things", ""}), ElementsAre("list", "put"));
  EXPECT_THAT(Complete({"things", "list", "--l"}), ElementsAre("--limit", "--loud"));
  EXPECT_THAT(Complete({"nonsense", ""}), ElementsAre("stop", "things"));
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
                  ElementsAre("things", "put"), ElementsAre("stop"), ElementsAre("old-stop")));
  EXPECT_EQ(tree_.Examples().size(), 6u);
}

}  // namespace
}  // namespace fanwire::cli
