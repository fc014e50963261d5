#include "proto/event_catalog.h"

namespace fanwire {

absl::string_view CatalogTypeName(CatalogType type) {
  switch (type) {
    case CatalogType::kAny:
      return "anything";
    case CatalogType::kText:
      return "a text";
    case CatalogType::kInt32:
      return "a whole number of 32 bits";
    case CatalogType::kUint32:
      return "a whole number from 0 to 4294967295";
    case CatalogType::kInt64:
      return "a whole number";
    case CatalogType::kUint64:
      return "a whole number from 0 to 18446744073709551615";
    case CatalogType::kNumber:
      return "a number";
    case CatalogType::kBoolean:
      return "true or false";
    case CatalogType::kObject:
    case CatalogType::kMap:
      return "an object";
    case CatalogType::kList:
      return "a list";
  }
  return "";
}

absl::string_view CatalogStatusName(CatalogEvent::Status status) {
  switch (status) {
    case CatalogEvent::Status::kUnknown:
      return "";
    case CatalogEvent::Status::kBuilt:
      return "built";
    case CatalogEvent::Status::kPlanned:
      return "planned";
    case CatalogEvent::Status::kTest:
      return "test";
  }
  return "";
}

}  // namespace fanwire
