# Finds what linden needs and says, for each missing piece, the command that brings it.

function(linden_require package condition hint)
  if(NOT ${condition})
    message(FATAL_ERROR "linden needs ${package}, which was not found.\n  Bring it with: ${hint}\n"
                        "  (scripts/setup brings everything on Debian 12 and Ubuntu 24.04.)")
  endif()
endfunction()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CUDA_STANDARD 20)

# LibTorch: the variable LINDEN_TORCH (a LibTorch folder), CMAKE_PREFIX_PATH, or python3's torch.
if(DEFINED ENV{LINDEN_TORCH})
  list(PREPEND CMAKE_PREFIX_PATH "$ENV{LINDEN_TORCH}")
else()
  find_program(LINDEN_PYTHON NAMES python3)
  if(LINDEN_PYTHON)
    execute_process(COMMAND ${LINDEN_PYTHON} -c "import torch; print(torch.utils.cmake_prefix_path)"
                    OUTPUT_VARIABLE LINDEN_TORCH_PREFIX OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND CMAKE_PREFIX_PATH "${LINDEN_TORCH_PREFIX}")
  endif()
endif()
# A LibTorch with CUDA looks for a CUDA toolkit and stops without one: this says first what brings it.
find_file(LINDEN_LIBTORCH_CUDA libtorch_cuda.so NO_DEFAULT_PATH NO_CACHE
          PATHS ${CMAKE_PREFIX_PATH} PATH_SUFFIXES lib ../../lib)
find_program(LINDEN_NVCC nvcc NO_CACHE HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(LINDEN_LIBTORCH_CUDA AND NOT LINDEN_NVCC AND NOT DEFINED ENV{CUDACXX})
  message(FATAL_ERROR "${LINDEN_LIBTORCH_CUDA} needs a CUDA toolkit at build time, and there is no nvcc.\n"
                      "  Bring it with: pip install \"cuda-toolkit[nvcc,cccl,crt,nvrtc,cudart,nvvm]==13.0.2\"\n"
                      "  and set CUDA_HOME to its nvidia/cu13 folder (scripts/setup and scripts/build do both).")
endif()
# LibTorch's CMake files warn of kineto and of architectures, and put their own architecture flags into
# CMAKE_CUDA_FLAGS: ours are set per target.
set(TORCH_CUDA_ARCH_LIST "9.0a")
set(CMAKE_MESSAGE_LOG_LEVEL ERROR)
find_package(Torch QUIET CONFIG)
unset(CMAKE_MESSAGE_LOG_LEVEL)
linden_require(LibTorch Torch_FOUND "pip install torch==2.11.0, or set LINDEN_TORCH to a LibTorch folder")
if(Torch_VERSION VERSION_LESS 2.11)
  message(WARNING "linden is tested with LibTorch 2.11; found ${Torch_VERSION}")
endif()

find_package(HDF5 COMPONENTS C QUIET)
linden_require(HDF5 HDF5_FOUND "apt-get install libhdf5-dev")
find_package(nlohmann_json 3.11 QUIET)
linden_require(nlohmann_json nlohmann_json_FOUND "apt-get install nlohmann-json3-dev")
find_package(fmt QUIET)
linden_require(fmt fmt_FOUND "apt-get install libfmt-dev")
find_package(spdlog QUIET)
linden_require(spdlog spdlog_FOUND "apt-get install libspdlog-dev")
find_package(PNG QUIET)
linden_require(libpng PNG_FOUND "apt-get install libpng-dev")
find_package(ZLIB QUIET)
linden_require(zlib ZLIB_FOUND "apt-get install zlib1g-dev")
# Optional: data sets straight from their archives (io/archive.h), without it they are unpacked by hand; samples of video as MP4 (io/mp4.h).
# Off: a program that runs on machines without these libraries.
option(LINDEN_MEDIA "libarchive and FFmpeg, where they are found" ON)
if(LINDEN_MEDIA)
  find_package(LibArchive QUIET)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(LINDEN_FFMPEG QUIET IMPORTED_TARGET libavformat libavcodec libavutil libswscale)
  endif()
else()
  set(LibArchive_FOUND OFF)
  set(LINDEN_FFMPEG_FOUND OFF)
endif()
find_path(CXXOPTS_INCLUDE_DIR cxxopts.hpp)
linden_require(cxxopts CXXOPTS_INCLUDE_DIR "apt-get install libcxxopts-dev")
if(LINDEN_TESTS)
  find_package(Catch2 3 QUIET)
  linden_require("Catch2 v3" Catch2_FOUND "apt-get install catch2 (Debian 12: from bookworm-backports)")
endif()

# CUDA kernels need a compiler and a LibTorch that was built with CUDA.
set(LINDEN_HAS_CUDA OFF)
if(NOT LINDEN_CUDA STREQUAL "OFF" AND TORCH_CUDA_LIBRARIES)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_FLAGS "")
    enable_language(CUDA)
    set(LINDEN_HAS_CUDA ON)
  endif()
endif()
if(LINDEN_CUDA STREQUAL "ON" AND NOT LINDEN_HAS_CUDA)
  message(FATAL_ERROR "LINDEN_CUDA=ON, but there is no nvcc or LibTorch has no CUDA.\n"
                      "  Bring nvcc with: pip install \"cuda-toolkit[nvcc,cccl,crt,nvrtc,cudart,nvvm]==13.0.2\"")
endif()
if(NOT LibArchive_FOUND)
  message(STATUS "linden: no libarchive: data sets in archives must be unpacked (apt-get install libarchive-dev reads them as they are)")
endif()
message(STATUS "linden: LibTorch ${Torch_VERSION}, CUDA kernels ${LINDEN_HAS_CUDA}")
