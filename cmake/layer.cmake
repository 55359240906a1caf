# One CMake library per layer, listing what it may use; tests link a layer and what lies below, nothing else.

# add_layer(<name> SOURCES ... [USES <our layers>...] [LIBRARIES <third party>...])
function(add_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBRARIES" ${ARGN})
  list(TRANSFORM ARG_USES PREPEND cortensor_)
  if(ARG_SOURCES)
    add_library(cortensor_${name} STATIC ${ARG_SOURCES})
    target_include_directories(cortensor_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(cortensor_${name} PUBLIC ${ARG_USES} PRIVATE cortensor_warnings ${ARG_LIBRARIES})
  else()
    add_library(cortensor_${name} INTERFACE)
    target_include_directories(cortensor_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(cortensor_${name} INTERFACE ${ARG_USES} ${ARG_LIBRARIES})
  endif()
endfunction()

# add_layer_tests(<name> SOURCES ... [USES ...] [LIBRARIES ...] [LABELS ...] [TIMEOUT seconds] [TOGETHER filter]): one
# GoogleTest program per layer, so that a stray symbol fails to link. One CTest entry per test; those that the filter
# names are one entry, because they share what is slow to set up.
function(add_layer_tests name)
  cmake_parse_arguments(ARG "" "TIMEOUT;TOGETHER" "SOURCES;USES;LIBRARIES;LABELS" ${ARGN})
  list(TRANSFORM ARG_USES PREPEND cortensor_)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_USES} ${ARG_LIBRARIES} cortensor_warnings GTest::gmock GTest::gtest_main)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(ARG_TOGETHER)
    add_test(NAME ${name}.together COMMAND ${name} --gtest_filter=${ARG_TOGETHER})
    set_tests_properties(${name}.together PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
                         SKIP_REGULAR_EXPRESSION "is not installed")
    set(others TEST_FILTER "-${ARG_TOGETHER}")
  endif()
  gtest_discover_tests(${name} ${others} TEST_PREFIX "${name}." PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
                       DISCOVERY_TIMEOUT 60)
endfunction()
