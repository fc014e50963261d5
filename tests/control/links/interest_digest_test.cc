#include "control/links/interest_digest.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::FieldsAre;

TEST(InterestDigestTest, IsZeroWithoutInterest) {
  EXPECT_THAT(InterestDigest().value(), FieldsAre(0, 0));
}

TEST(InterestDigestTest, IsTheNumberAndTheXorOfTheHashes) {
  InterestDigest digest;
  digest.Add(5);
  EXPECT_THAT(digest.value(), FieldsAre(1, 5));
  digest.Add(9);
  EXPECT_THAT(digest.value(), FieldsAre(2, 5 ^ 9));
}

TEST(InterestDigestTest, RemovingUndoesAddingInAnyOrder) {
  InterestDigest digest;
  digest.Add(5);
  digest.Add(9);
  digest.Add(17);
  digest.Remove(5);
  EXPECT_THAT(digest.value(), FieldsAre(2, 9 ^ 17));
  digest.Remove(17);
  digest.Remove(9);
  EXPECT_EQ(digest.value(), InterestDigest().value());
}

TEST(InterestDigestTest, EqualHashesDifferInTheirNumber) {
  InterestDigest digest;
  digest.Add(5);
  digest.Add(5);
  EXPECT_THAT(digest.value(), FieldsAre(2, 0));
}

TEST(InterestDigestTest, ClearForgetsEverything) {
  InterestDigest digest;
  digest.Add(5);
  digest.Clear();
  EXPECT_THAT(digest.value(), FieldsAre(0, 0));
  digest.Add(9);
  EXPECT_THAT(digest.value(), FieldsAre(1, 9));
}

}  // namespace
}  // namespace fanwire::control
