// A config as its keys and values, for conditions and hashes.
#pragma once

#include <string>
#include <vector>

#include "core/config.h"

namespace linden {

// One key of a resolved config. The text is the value's: numbers in their shortest form (1 and 1.0 are both "1"), text in
// quotes, lists in brackets.
struct ConfigLeaf {
  std::string key, text;
};
std::vector<ConfigLeaf> config_leaves(ConfigRef& config);
const ConfigLeaf* find_leaf(const std::vector<ConfigLeaf>& leaves, const std::string& key);

// The texts of single values.
std::string leaf_text(double number);
std::string leaf_text(const std::string& text);
std::string leaf_text(const std::vector<std::string>& items);  // items: texts

// Sixteen hexadecimal digits that stand for (command, config) without the keys of `ignored`: FNV-1a, 64 bits.
std::string config_hash(const std::string& command, const std::vector<ConfigLeaf>& leaves, const std::vector<std::string>& ignored);

}  // namespace linden
