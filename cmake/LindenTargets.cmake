# How every library and test of linden is built: the same flags everywhere.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Settings under which a clone in another folder hits the cache.
  set(LINDEN_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${LINDEN_LAUNCHER})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${LINDEN_LAUNCHER})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${LINDEN_LAUNCHER})
endif()
find_program(MOLD_PROGRAM mold)

add_library(linden_flags INTERFACE)
target_compile_features(linden_flags INTERFACE cxx_std_20)
target_include_directories(linden_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
target_link_libraries(linden_flags INTERFACE fmt::fmt)
# libtorch.so exports parts of an older std::filesystem whose remove_all() crashes: the C++ runtime's own
# must stand before it.
target_link_options(linden_flags INTERFACE "LINKER:--push-state,--no-as-needed,-lstdc++,--pop-state")
# LibTorch ships another version of fmt's headers. The installed library's own must be found first, and
# compilers ignore -I/usr/include, so a link to them stands in the build folder.
get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
find_path(LINDEN_FMT_INCLUDE fmt/format.h PATHS ${fmt_include} /usr/include NO_DEFAULT_PATH)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/installed_fmt)
file(CREATE_LINK ${LINDEN_FMT_INCLUDE}/fmt ${CMAKE_BINARY_DIR}/installed_fmt/fmt SYMBOLIC)
target_include_directories(linden_flags BEFORE INTERFACE ${CMAKE_BINARY_DIR}/installed_fmt)
# LibTorch's headers as system headers: its warnings are not ours.
target_include_directories(linden_flags SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS} ${CXXOPTS_INCLUDE_DIR})
target_link_libraries(linden_flags INTERFACE ${TORCH_LIBRARIES})
# -fopenmp: at::parallel_for is a template of LibTorch's headers, and without it a plain loop.
target_link_options(linden_flags INTERFACE $<$<LINK_LANGUAGE:CXX>:-fopenmp>)
target_compile_options(linden_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-fopenmp -fPIC -Wall -Wextra -fpch-preprocess $<$<BOOL:${LINDEN_WERROR}>:-Werror>>)
if(LINDEN_HAS_CUDA)
  target_compile_definitions(linden_flags INTERFACE LINDEN_HAS_CUDA=1)
endif()
if(LINDEN_SANITIZE)
  target_compile_options(linden_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${LINDEN_SANITIZE} -fno-omit-frame-pointer>)
  target_link_options(linden_flags INTERFACE -fsanitize=${LINDEN_SANITIZE})
endif()
if(MOLD_PROGRAM)
  # separate-loadable-segments: mold counts .tbss to RELRO, and a .tbss in the last 15 bytes of a page that the segment itself does not
  # begin in made a program that no loader takes ("cannot apply additional memory protection after relocation: Cannot allocate memory").
  # Whether it lies there hangs on the length of the folder's name.
  target_link_options(linden_flags INTERFACE $<$<LINK_LANGUAGE:CXX>:-fuse-ld=mold> LINKER:-z,separate-loadable-segments)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")  # as LibTorch is built: some of its classes differ in layout without NDEBUG

include(PrecompiledHeaders)

# linden_library(core DEPENDS ... PRIVATE ... INCLUDES ...): src/core/*.cpp as linden_core, linked to the
# libraries below it; PRIVATE and INCLUDES are third-party libraries that no header of ours shows.
function(linden_library folder)
  cmake_parse_arguments(ARG "" "" "DEPENDS;PRIVATE;INCLUDES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp
                                      ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/reference/*.cpp)
  if(sources)
    add_library(linden_${folder} STATIC ${sources})
    linden_precompile(linden_${folder} ${sources})
    target_link_libraries(linden_${folder} PUBLIC linden_flags ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE})
    target_include_directories(linden_${folder} SYSTEM PRIVATE ${ARG_INCLUDES})
  else()
    add_library(linden_${folder} INTERFACE)
    target_link_libraries(linden_${folder} INTERFACE linden_flags ${ARG_DEPENDS})
  endif()
endfunction()

# linden_tests(core DEPENDS ...): tests/core/*.cpp as the program test_core, and one ctest entry (core.unit, core.truth,
# ...) for each tier that its sources name as a tag.
function(linden_tests folder)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
  if(NOT sources)
    message(FATAL_ERROR "linden_tests(${folder}): there is no source in ${CMAKE_CURRENT_SOURCE_DIR}/${folder}")
  endif()
  add_executable(test_${folder} ${sources})
  linden_precompile(test_${folder} ${sources})
  target_compile_options(test_${folder} PRIVATE $<$<CONFIG:Release>:-O1>)   # what is timed lies in the libraries
  target_link_libraries(test_${folder} PRIVATE linden_test_support ${ARG_DEPENDS})
  set(text "")
  foreach(source IN LISTS sources)
    file(READ ${source} content)
    string(APPEND text "${content}")
  endforeach()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${sources})
  foreach(label unit truth golden e2e cuda)
    if(NOT text MATCHES "\\[${label}\\]")
      continue()
    endif()
    add_test(NAME ${folder}.${label}
             COMMAND test_${folder} "[${label}]"
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${folder}.${label} PROPERTIES LABELS ${label} SKIP_RETURN_CODE 4)
  endforeach()
endfunction()
