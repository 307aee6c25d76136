// What a set of tensors lacks, has too much or has in another shape than the model wants, told in one message.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace linden {

using TensorShapes = std::map<std::string, std::vector<int64_t>>;

struct TensorFit {
  std::vector<std::string> missing, surplus, misshaped;  // one line a tensor, with its shape
  bool fits() const { return missing.empty() && surplus.empty() && misshaped.empty(); }
};

std::string shape_text(const std::vector<int64_t>& shape);  // "[2, 3]"
TensorFit compare_shapes(const TensorShapes& wanted, const TensorShapes& given);

// Throws InputError unless everything fits: each group with its count and its first tensors. `origin` names the file;
// the message ends with `advice`.
void check_fit(const TensorFit& fit, const std::string& origin, const std::string& advice);

}  // namespace linden
