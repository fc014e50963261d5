#include "control/events/catalog_check.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/utf8.h"

namespace fanwire::control {

namespace {

using simdjson::dom::element_type;

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

std::string Expected(const Catalog::Key& key) {
  if (!key.values.empty()) return absl::StrCat("one of ", absl::StrJoin(key.values, ", "));
  return std::string(CatalogTypeName(key.type));
}

// What a value is, without the value: a fault may be logged, and logs have no data.
absl::string_view Found(const simdjson::dom::element& value, CatalogType expected) {
  const bool number = expected == CatalogType::kInt32 || expected == CatalogType::kInt64 ||
                      expected == CatalogType::kUint32 || expected == CatalogType::kUint64;
  switch (value.type()) {
    case element_type::NULL_VALUE:
      return "null";
    case element_type::BOOL:
      return "true or false";
    case element_type::STRING:
      return expected == CatalogType::kText ? "another text" : "a text";
    case element_type::OBJECT:
      return "an object";
    case element_type::ARRAY:
      return "a list";
    case element_type::DOUBLE:
      return number ? "a number with a fraction, or of more than 64 bits" : "a number";
    case element_type::INT64:
    case element_type::UINT64:
      return number ? "a whole number out of this range" : "a whole number";
  }
  return "";
}

// Walks over the data of one event with the table of one form.
class Walk {
 public:
  Walk(const Catalog& catalog, absl::string_view event, std::vector<std::string>* faults)
      : catalog_(catalog), event_(event), faults_(faults) {}

  void Data(const simdjson::dom::element& data, const Catalog::Object& object) {
    CheckObject(data.get_object().value_unsafe(), object, nullptr);
  }

 private:
  // Where a value stands: a key of the value around it, or an index.
  struct Step {
    const Step* around;
    absl::string_view key;
    size_t index;
  };

  static void AppendPath(const Step* step, std::string* out) {
    if (step == nullptr) {
      out->append("data");
      return;
    }
    AppendPath(step->around, out);
    if (step->key.data() == nullptr) {
      absl::StrAppend(out, "[", step->index, "]");
    } else if (FirstBadUtf8(step->key) == absl::string_view::npos && step->key.size() <= 64 &&
               step->key.find_first_of("\"\\\n\r\t .[]") == absl::string_view::npos) {
      absl::StrAppend(out, ".", step->key);
    } else {
      absl::StrAppend(out, "[", QuotedText(step->key), "]");
    }
  }

  void Fault(const Step* step, absl::string_view expected, absl::string_view found) {
    if (faults_->size() >= kMaxCatalogFaults) return;
    std::string text = absl::StrCat("event \"", event_, "\": ");
    AppendPath(step, &text);
    absl::StrAppend(&text, ": expected ", expected, ", found ", found);
    faults_->push_back(std::move(text));
  }

  void CheckObject(const simdjson::dom::object& value, const Catalog::Object& object,
                   const Step* at) {
    absl::InlinedVector<uint64_t, 2> seen((object.count + 63) / 64, 0);
    uint32_t left = object.count;
    uint32_t next = 0;  // keys mostly come in the order of the table
    for (const simdjson::dom::key_value_pair member : value) {
      const absl::string_view name = ToAbsl(member.key);
      uint32_t index = Catalog::kNone;
      for (uint32_t tried = 0; tried < object.count; ++tried) {
        if (catalog_.key(object.first + next).name == name) index = next;
        if (++next == object.count) next = 0;
        if (index != Catalog::kNone) break;
      }
      const Step step{.around = at, .key = name, .index = 0};
      if (index == Catalog::kNone) {
        if (object.closed) Fault(&step, "no such key", Found(member.value, CatalogType::kAny));
        continue;
      }
      uint64_t& word = seen[index / 64];
      const uint64_t bit = uint64_t{1} << (index % 64);
      // Of several with one name, most readers take the last, some the first: each must be right.
      if ((word & bit) == 0) --left;
      word |= bit;
      const Catalog::Key& key = catalog_.key(object.first + index);
      if (key.optional && member.value.is_null()) continue;
      CheckValue(member.value, key, &step);
    }
    if (left == 0) return;
    for (uint32_t i = 0; i < object.count; ++i) {
      const Catalog::Key& key = catalog_.key(object.first + i);
      if ((seen[i / 64] >> (i % 64) & 1) != 0 || key.optional) continue;
      const Step step{.around = at, .key = key.name, .index = 0};
      Fault(&step, Expected(key), "nothing");
    }
  }

  void CheckValue(const simdjson::dom::element& value, const Catalog::Key& key, const Step* at) {
    if (!Fits(value, key)) {
      Fault(at, Expected(key), Found(value, key.type));
    } else if (key.object != Catalog::kNone) {
      CheckObject(value.get_object().value_unsafe(), catalog_.object(key.object), at);
    } else if (key.element != Catalog::kNone) {
      CheckElements(value, catalog_.key(key.element), at);
    }
  }

  void CheckElements(const simdjson::dom::element& value, const Catalog::Key& element,
                     const Step* at) {
    // The loops need an object and a list of their own: value_unsafe() refers to a temporary.
    if (value.is_object()) {
      const simdjson::dom::object object = value.get_object().value_unsafe();
      for (const simdjson::dom::key_value_pair member : object) {
        const Step step{.around = at, .key = ToAbsl(member.key), .index = 0};
        CheckValue(member.value, element, &step);
      }
      return;
    }
    Step step{.around = at, .key = {}, .index = 0};
    const simdjson::dom::array array = value.get_array().value_unsafe();
    for (const simdjson::dom::element item : array) {
      CheckValue(item, element, &step);
      ++step.index;
    }
  }

  static bool Fits(const simdjson::dom::element& value, const Catalog::Key& key) {
    const element_type type = value.type();
    const bool whole =
        type == element_type::INT64 || type == element_type::UINT64 || WholeDouble(value);
    switch (key.type) {
      case CatalogType::kAny:
        return true;
      case CatalogType::kText:
        return type == element_type::STRING &&
               (key.values.empty() ||
                std::find(key.values.begin(), key.values.end(),
                          ToAbsl(value.get_string().value_unsafe())) != key.values.end());
      case CatalogType::kInt64:
        return whole;
      case CatalogType::kUint64:
        return type == element_type::UINT64 ||
               (type == element_type::INT64 && value.get_int64().value_unsafe() >= 0) ||
               (WholeDouble(value) && value.get_double().value_unsafe() >= 0);
      case CatalogType::kInt32:
        return IsBetween(value, std::numeric_limits<int32_t>::min(),
                         std::numeric_limits<int32_t>::max());
      case CatalogType::kUint32:
        return IsBetween(value, 0, std::numeric_limits<uint32_t>::max());
      case CatalogType::kNumber:
        return whole || type == element_type::DOUBLE;
      case CatalogType::kBoolean:
        return type == element_type::BOOL;
      case CatalogType::kObject:
      case CatalogType::kMap:
        return type == element_type::OBJECT;
      case CatalogType::kList:
        return type == element_type::ARRAY;
    }
    return false;
  }

  // Whether it is a whole number that was written with a fraction or an exponent, such as 1.0 or
  // 1e3: JSON Schema takes it for an integer, and clients read the same number.  Beyond 2^53 a
  // double does not say which number was written.
  static bool WholeDouble(const simdjson::dom::element& value) {
    if (value.type() != element_type::DOUBLE) return false;
    const double number = value.get_double().value_unsafe();
    return std::abs(number) <= 9007199254740992.0 && number == std::trunc(number);
  }

  static bool IsBetween(const simdjson::dom::element& value, int64_t least, int64_t most) {
    if (WholeDouble(value)) {
      const double number = value.get_double().value_unsafe();
      return static_cast<double>(least) <= number && number <= static_cast<double>(most);
    }
    if (value.type() != element_type::INT64) return false;
    const int64_t number = value.get_int64().value_unsafe();
    return least <= number && number <= most;
  }

  const Catalog& catalog_;
  const absl::string_view event_;
  std::vector<std::string>* const faults_;
};

bool FitsChannels(const CatalogEvent& event, absl::string_view channel) {
  return event.channels.empty() ||
         std::any_of(event.channels.begin(), event.channels.end(),
                     [&](const std::string& one) { return FitsTemplate(one, channel); });
}

}  // namespace

std::vector<std::string> CatalogFaults(const Catalog& catalog, const Event& event,
                                       const JsonDocument& data) {
  const absl::Span<const Catalog::Shape> shapes = catalog.Find(event.event);
  if (shapes.empty()) {
    return {absl::StrCat("event \"", event.event, "\" is not in the catalog")};
  }
  std::vector<std::string> best;
  bool best_fits = false;
  for (size_t i = 0; i < shapes.size(); ++i) {
    std::vector<std::string> faults;
    const bool fits = FitsChannels(*shapes[i].event, event.channel);
    if (!fits) {
      faults.push_back(absl::StrCat("event \"", event.event, "\" belongs on ",
                                    absl::StrJoin(shapes[i].event->channels, " or "), ", not on \"",
                                    event.channel, "\""));
    }
    Walk(catalog, event.event, &faults).Data(data.root(), catalog.object(shapes[i].object));
    if (faults.empty()) return faults;
    // The channel tells more than the data which form is meant.
    if (i == 0 || (fits && !best_fits) || (fits == best_fits && faults.size() < best.size())) {
      best = std::move(faults);
      best_fits = fits;
    }
  }
  return best;
}

}  // namespace fanwire::control
