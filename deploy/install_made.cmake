# The last step of `cmake --install`: writes the files that are made at the installation, straight to
# their place.  The build tree is not changed, because it may belong to another user than the one who
# installs.

# Writes `text` to the file `path` below the prefix, or to `path` itself if it is absolute.
function(install_text path text)
  if(NOT IS_ABSOLUTE "${path}")
    set(path "${CMAKE_INSTALL_PREFIX}/${path}")
  endif()
  message(STATUS "Installing: $ENV{DESTDIR}${path}")
  file(WRITE "$ENV{DESTDIR}${path}" "${text}")
  file(CHMOD "$ENV{DESTDIR}${path}"
       PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  list(APPEND CMAKE_INSTALL_MANIFEST_FILES "${path}")
  set(CMAKE_INSTALL_MANIFEST_FILES "${CMAKE_INSTALL_MANIFEST_FILES}" PARENT_SCOPE)
endfunction()

install_text("${FANWIRE_DATADIR}/bash-completion/completions/wsctl" "${FANWIRE_COMPLETION_bash}")
install_text("${FANWIRE_DATADIR}/zsh/site-functions/_wsctl" "${FANWIRE_COMPLETION_zsh}")
install_text("${FANWIRE_DATADIR}/fish/vendor_completions.d/wsctl.fish"
             "${FANWIRE_COMPLETION_fish}")

# The unit names files in full: they are where the prefix of this installation says.
file(READ "${FANWIRE_SOURCE}/deploy/systemd/fanwire-control.service" text)
string(REPLACE /usr/ "${CMAKE_INSTALL_PREFIX}/" text "${text}")
install_text(lib/systemd/system/fanwire-control.service "${text}")

# Links to what is only in the checkout become plain text.
file(READ "${FANWIRE_SOURCE}/README.md" text)
string(REGEX REPLACE "\\[([^]]*)\\]\\((CONTRIBUTING\\.md|(clients|deploy|proto|docs/examples)/[^)]*)\\)" "\\1" text "${text}")
install_text("${FANWIRE_DOCDIR}/README.md" "${text}")

# Writes the documents of a folder with the text alone in place of each link that begins as `target`
# says, a regular expression.
function(install_without_links folder target)
  file(GLOB pages RELATIVE "${FANWIRE_SOURCE}" "${FANWIRE_SOURCE}/${folder}/*.md")
  foreach(page IN LISTS pages)
    file(READ "${FANWIRE_SOURCE}/${page}" text)
    if(text MATCHES "\\]\\(${target}")
      string(REGEX REPLACE "\\[([^]]*)\\]\\(${target}[^)]*\\)" "\\1" text "${text}")
      install_text("${FANWIRE_DOCDIR}/${page}" "${text}")
    endif()
  endforeach()
  set(CMAKE_INSTALL_MANIFEST_FILES "${CMAKE_INSTALL_MANIFEST_FILES}" PARENT_SCOPE)
endfunction()
install_without_links(docs "\\.\\./")
install_without_links(docs/services "\\.\\./\\.\\./")
install_without_links(docs/examples "(\\.\\./\\.\\./|subscribe/|publish/)")
