#include "common/token_bucket.h"

#include "gtest/gtest.h"

namespace fanwire {
namespace {

constexpr double kRate = 10;  // a second
constexpr double kBurst = 3;

absl::Duration At(double seconds) { return absl::Seconds(100 + seconds); }

template <typename Stored>
class TokenBucketTest : public testing::Test {
 protected:
  bool Take(double seconds) { return bucket_.Take(kRate, kBurst, At(seconds)); }
  // Takes tokens until there is none, and returns how many there were.
  int TakeAll(double seconds) {
    int taken = 0;
    while (Take(seconds)) ++taken;
    return taken;
  }

  TokenBucket<Stored> bucket_{kBurst, At(0)};
};

using StoredTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(TokenBucketTest, StoredTypes);

TYPED_TEST(TokenBucketTest, BeginsFull) { EXPECT_EQ(this->TakeAll(0), 3); }

TYPED_TEST(TokenBucketTest, GainsTokensByTheRate) {
  this->TakeAll(0);
  EXPECT_FALSE(this->Take(0.0625));
  EXPECT_TRUE(this->Take(0.125));
  EXPECT_FALSE(this->Take(0.125));
}

TYPED_TEST(TokenBucketTest, HoldsNoMoreThanTheBurst) {
  this->TakeAll(0);
  EXPECT_EQ(this->TakeAll(1000), 3);
}

TYPED_TEST(TokenBucketTest, PartsOfATokenAddUpOverFailedCalls) {
  this->TakeAll(0);
  EXPECT_FALSE(this->Take(0.0625));
  EXPECT_FALSE(this->Take(0.09375));
  EXPECT_TRUE(this->Take(0.125));
}

TYPED_TEST(TokenBucketTest, TellsWhenTheNextTokenComes) {
  this->TakeAll(0);
  EXPECT_NEAR(this->bucket_.SecondsToNext(kRate), 0.1, 1e-6);
  EXPECT_FALSE(this->Take(0.0625));
  EXPECT_NEAR(this->bucket_.SecondsToNext(kRate), 0.0375, 1e-6);
}

TYPED_TEST(TokenBucketTest, ATokenThatWasGivenBackCanBeTakenAgain) {
  this->TakeAll(0);
  this->bucket_.GiveBack();
  EXPECT_EQ(this->TakeAll(0), 1);
}

TYPED_TEST(TokenBucketTest, ASmallerBurstDropsWhatIsOverIt) {
  this->bucket_.Limit(1);
  EXPECT_EQ(this->TakeAll(0), 1);
}

TYPED_TEST(TokenBucketTest, ALargerBurstFillsByTheRate) {
  this->bucket_.Limit(100);
  EXPECT_TRUE(this->bucket_.Take(kRate, 100, At(0)));
  EXPECT_TRUE(this->bucket_.Take(kRate, 100, At(0.1)));
  EXPECT_EQ(this->TakeAll(0.1), 2);
}

TEST(TokenBucketSizeTest, ABucketOfASessionIsSixteenBytes) {
  EXPECT_EQ(sizeof(TokenBucket<float>), 16u);
}

TEST(TokenBucketSpendTest, WhatIsSpentBeyondTheTokensIsOwed) {
  TokenBucket<double> bucket(10, absl::ZeroDuration());
  EXPECT_EQ(bucket.Spend(10, 2, 10, absl::ZeroDuration()), 0);
  EXPECT_EQ(bucket.Spend(6, 2, 10, absl::ZeroDuration()), 3);
  EXPECT_EQ(bucket.Spend(0, 2, 10, absl::Seconds(2)), 1);
  EXPECT_FALSE(bucket.Take(2, 10, absl::Seconds(3)));
  EXPECT_TRUE(bucket.Take(2, 10, absl::Seconds(3.5)));
  bucket.GiveBack(4);
  EXPECT_EQ(bucket.Spend(4, 2, 10, absl::Seconds(3.5)), 0);
}

}  // namespace
}  // namespace fanwire
