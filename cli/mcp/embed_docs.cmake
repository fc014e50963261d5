# Writes a source that holds documents as texts, by their names below ROOT, and below docs/ there:
#   cmake -DOUTPUT=FILE -DROOT=FOLDER -DFILES=FILE|FILE… -P embed_docs.cmake
string(REPLACE "|" ";" files "${FILES}")
set(pairs)
foreach(file IN LISTS files)
  file(RELATIVE_PATH name ${ROOT} ${file})
  string(REGEX REPLACE "^docs/" "" name ${name})
  list(APPEND pairs "${name}|${file}")
endforeach()
list(SORT pairs COMPARE STRING)

set(source "// Made by cli/mcp/embed_docs.cmake of the files that it names.
#include \"cli/mcp/resources.h\"

namespace fanwire::cli {

const std::vector<Document>& Documents() {
  static const std::vector<Document> documents = {
")
foreach(pair IN LISTS pairs)
  string(REGEX REPLACE "\\|.*" "" name "${pair}")
  string(REGEX REPLACE "^[^|]*\\|" "" file "${pair}")
  # Read and written as hexadecimal digits: CMake's own text would lose some of ;, [ and ].
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${bytes}")
  string(LENGTH "${bytes}" length)
  math(EXPR length "${length} / 4")
  string(APPEND source "      {\"${name}\", absl::string_view(\"${bytes}\", ${length})},\n")
endforeach()
string(APPEND source "  };
  return documents;
}

}  // namespace fanwire::cli
")
file(WRITE ${OUTPUT} "${source}")
