# Writes a source file that defines the bytes of another file as a text:
#   cmake -D INPUT=FILE -D OUTPUT=FILE.cc -D HEADER=proto/built_in_catalog.h -D FUNCTION=BuiltInCatalog
#         -P embed.cmake
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
file(WRITE ${OUTPUT} "// Made by embed.cmake.
#include \"${HEADER}\"

namespace fanwire {

absl::string_view ${FUNCTION}() {
  static constexpr unsigned char kBytes[] = {
${hex}
  };
  return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)};
}

}  // namespace fanwire
")
