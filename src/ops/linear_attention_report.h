// Where linear attention says what runs. A file of its own, since the library for Python puts LibTorch's warnings in its place: it
// brings no logging library into somebody else's process.
#pragma once

#include <string>

namespace linden {

// fallback: a card runs tensor operations where the kernels should have run.
void report_linear_attention(const std::string& message, bool fallback);

}  // namespace linden
