#include "common/intrusive_ptr.h"

#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace fanwire {
namespace {

// Tells when it is destroyed.
template <typename Count>
class Counted {
 public:
  using Ptr = IntrusivePtr<Counted>;
  using ConstPtr = IntrusivePtr<const Counted>;

  explicit Counted(int* destroyed) : destroyed_(destroyed) {}

  uint32_t references() const { return references_.value(); }

 private:
  friend Ptr;
  friend ConstPtr;

  static void Destroy(const Counted* object) {
    ++*object->destroyed_;
    delete object;
  }

  mutable Count references_;
  int* const destroyed_;
};

template <typename Count>
class IntrusivePtrTest : public testing::Test {};

using Counts = testing::Types<PlainCount, AtomicCount>;
TYPED_TEST_SUITE(IntrusivePtrTest, Counts);

TYPED_TEST(IntrusivePtrTest, IsAsLargeAsAPointer) {
  EXPECT_EQ(sizeof(typename Counted<TypeParam>::Ptr), sizeof(void*));
}

TYPED_TEST(IntrusivePtrTest, TheLastPointerDestroysTheObject) {
  int destroyed = 0;
  auto first = Counted<TypeParam>::Ptr::First(new Counted<TypeParam>(&destroyed));
  EXPECT_EQ(first->references(), 1u);
  {
    const auto second = first;  // NOLINT(performance-unnecessary-copy-initialization)
    EXPECT_EQ(first->references(), 2u);
    EXPECT_EQ(second, first);
  }
  EXPECT_EQ(first->references(), 1u);
  EXPECT_EQ(destroyed, 0);
  first = nullptr;
  EXPECT_EQ(destroyed, 1);
}

TYPED_TEST(IntrusivePtrTest, APlainPointerToASharedObjectMakesAFurtherReference) {
  int destroyed = 0;
  auto* const object = new Counted<TypeParam>(&destroyed);
  typename Counted<TypeParam>::Ptr first(object);
  typename Counted<TypeParam>::Ptr second(object);
  EXPECT_EQ(object->references(), 2u);
  first = nullptr;
  EXPECT_EQ(destroyed, 0);
  second = nullptr;
  EXPECT_EQ(destroyed, 1);
}

TYPED_TEST(IntrusivePtrTest, AMoveLeavesNullAndKeepsTheCount) {
  int destroyed = 0;
  auto from = Counted<TypeParam>::Ptr::First(new Counted<TypeParam>(&destroyed));
  auto* const object = from.get();
  auto to = std::move(from);
  EXPECT_FALSE(from);  // NOLINT(bugprone-use-after-move): that is the promise
  EXPECT_EQ(to.get(), object);
  EXPECT_EQ(to->references(), 1u);
  from = std::move(to);
  EXPECT_FALSE(to);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(from->references(), 1u);
  EXPECT_EQ(destroyed, 0);
}

TYPED_TEST(IntrusivePtrTest, AssigningDropsTheFormerObjectAndItselfChangesNothing) {
  int first_destroyed = 0;
  int second_destroyed = 0;
  auto pointer = Counted<TypeParam>::Ptr::First(new Counted<TypeParam>(&first_destroyed));
  const auto& itself = pointer;
  pointer = itself;
  EXPECT_EQ(first_destroyed, 0);
  EXPECT_EQ(pointer->references(), 1u);
  pointer = Counted<TypeParam>::Ptr::First(new Counted<TypeParam>(&second_destroyed));
  EXPECT_EQ(first_destroyed, 1);
  EXPECT_EQ(second_destroyed, 0);
}

TYPED_TEST(IntrusivePtrTest, NullIsNoObject) {
  typename Counted<TypeParam>::Ptr null;
  const typename Counted<TypeParam>::Ptr copy = null;
  EXPECT_FALSE(copy);
  EXPECT_EQ(copy.get(), nullptr);
  EXPECT_EQ(copy, typename Counted<TypeParam>::Ptr(nullptr));
  EXPECT_FALSE(typename Counted<TypeParam>::Ptr(static_cast<Counted<TypeParam>*>(nullptr)));
}

TYPED_TEST(IntrusivePtrTest, APointerToConstSharesAndDestroys) {
  int destroyed = 0;
  auto pointer = Counted<TypeParam>::ConstPtr::First(new Counted<TypeParam>(&destroyed));
  auto copy = pointer;
  EXPECT_EQ(copy->references(), 2u);
  pointer = nullptr;
  copy = nullptr;
  EXPECT_EQ(destroyed, 1);
}

TEST(IntrusivePtrAtomicTest, ThreadsThatCopyAndDropItLeaveTheRightCount) {
  int destroyed = 0;
  auto pointer = Counted<AtomicCount>::Ptr::First(new Counted<AtomicCount>(&destroyed));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([mine = pointer] {
      for (int j = 0; j < 10'000; ++j) {
        const auto copy = mine;  // NOLINT(performance-unnecessary-copy-initialization)
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  threads.clear();  // each still holds its own
  EXPECT_EQ(pointer->references(), 1u);
  EXPECT_EQ(destroyed, 0);
  pointer = nullptr;
  EXPECT_EQ(destroyed, 1);
}

}  // namespace
}  // namespace fanwire
