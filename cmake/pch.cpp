// Holds the precompiled header; see LindenTargets.cmake.
