# The first step of `cmake --install`: makes sure that everything to be installed is there, so that an
# installation is complete or changes nothing.  Leaves the completion scripts, as wsctl itself prints
# them, in FANWIRE_COMPLETION_{bash,zsh,fish}.
foreach(file "${FANWIRE_CONTROL}" "${FANWIRE_FANOUT}" "${FANWIRE_WSCTL}" "${FANWIRE_PUBLISHER}"
             "${FANWIRE_CATALOG_GENERATOR}")
  if(NOT EXISTS "${file}")
    message(FATAL_ERROR "nothing is installed: ${file} is not built; build it first with "
                        "`cmake --build`")
  endif()
endforeach()
foreach(shell bash zsh fish)
  execute_process(
    COMMAND "${FANWIRE_WSCTL}" completion ${shell}
    OUTPUT_VARIABLE FANWIRE_COMPLETION_${shell}
    ERROR_VARIABLE error
    RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "nothing is installed: `${FANWIRE_WSCTL} completion ${shell}` failed "
                        "(${result}): ${error}")
  endif()
endforeach()
