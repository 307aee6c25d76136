# Two precompiled headers, and which of them a source gets.
#
# GCC instantiates the templates that a precompiled header left pending anew in every source that reads it, whether
# the source uses them or not: 3 s for ATen/ATen.h, 9 s for torch's modules, 15 s for torch/torch.h (which therefore
# nothing here includes). So a source gets the smallest one that its includes, followed through this project's own
# headers, ask for: modules (torch/...), tensors (ATen/..., c10/...) or none.

add_library(linden_tensor_pch OBJECT ${CMAKE_SOURCE_DIR}/cmake/pch.cpp)
target_link_libraries(linden_tensor_pch PRIVATE linden_flags)
target_precompile_headers(linden_tensor_pch PRIVATE <ATen/ATen.h> <fmt/format.h>)

add_library(linden_module_pch OBJECT ${CMAKE_SOURCE_DIR}/cmake/pch.cpp)
target_link_libraries(linden_module_pch PRIVATE linden_flags)
target_precompile_headers(linden_module_pch PRIVATE
  <ATen/ATen.h> <torch/nn/module.h> <torch/nn/pimpl.h> <torch/nn/modules/linear.h> <torch/nn/modules/conv.h>
  <torch/nn/modules/normalization.h> <torch/nn/modules/container/modulelist.h>
  <torch/csrc/autograd/custom_function.h> <fmt/format.h>)
set(LINDEN_MODULE_PCH ${CMAKE_BINARY_DIR}/CMakeFiles/linden_module_pch.dir/cmake_pch.hxx CACHE INTERNAL "")

# The widest header that `file` reaches: MODULES, TENSORS or NONE. Each file is read once.
function(linden_reach file result)
  get_property(known GLOBAL PROPERTY "LINDEN_REACH_${file}")
  if(known)
    set(${result} ${known} PARENT_SCOPE)
    return()
  endif()
  set_property(GLOBAL PROPERTY "LINDEN_REACH_${file}" NONE)          # an include cycle ends here
  get_filename_component(folder ${file} DIRECTORY)
  file(STRINGS ${file} lines REGEX "^#include [<\"]")
  set(reach NONE)
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^#include [<\"]([^>\"]+).*" "\\1" name "${line}")
    if(name MATCHES "^torch/csrc/autograd/(autograd|custom_function|function)\\.h$")   # small: read beside ATen's
      set(below TENSORS)
    elseif(name MATCHES "^torch/" AND NOT name STREQUAL "torch/version.h")
      set(reach MODULES)
    elseif(name MATCHES "^(ATen|c10)/")
      set(below TENSORS)
    else()
      set(below NONE)
      foreach(base ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR} ${folder})
        if(line MATCHES "\"" AND EXISTS ${base}/${name})
          linden_reach(${base}/${name} below)
          break()
        endif()
      endforeach()
    endif()
    if(NOT reach STREQUAL "MODULES" AND NOT below STREQUAL "NONE")
      set(reach ${below})
    endif()
  endforeach()
  set_property(GLOBAL PROPERTY "LINDEN_REACH_${file}" ${reach})
  set(${result} ${reach} PARENT_SCOPE)
endfunction()

# linden_precompile(target source...): after the target is made, for all its sources.
function(linden_precompile target)
  target_precompile_headers(${target} REUSE_FROM linden_tensor_pch)
  add_dependencies(${target} linden_module_pch)
  foreach(source IN LISTS ARGN)
    get_filename_component(path ${source} ABSOLUTE)
    linden_reach(${path} reach)
    if(NOT reach STREQUAL "TENSORS")
      set_source_files_properties(${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
    if(reach STREQUAL "MODULES")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -Winvalid-pch -include ${LINDEN_MODULE_PCH})
      set_property(SOURCE ${source} APPEND PROPERTY OBJECT_DEPENDS ${LINDEN_MODULE_PCH}.gch)
    endif()
  endforeach()
endfunction()
