// The one source of each precompiled header; see PrecompiledHeaders.cmake.
