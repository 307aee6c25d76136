// config.json of a Wan checkpoint. What is accepted must come back from the other layout as it was, and describe the same network there.
#include <stdexcept>

#include "core/error.h"
#include "models/wan_config.h"
#include "tests/fuzz/target.h"

namespace linden::fuzz {
namespace {

void fuzz_wan_config(std::span<const std::byte> bytes) {
  const std::string text(text_of(bytes));
  const WanNaming naming = wan_config_naming(text, "config");
  const WanNaming other = naming == WanNaming::kDiffusers ? WanNaming::kOriginal : WanNaming::kDiffusers;
  const WanSizes sizes = wan_sizes(text, "config");
  std::string there, back;
  try {
    there = convert_wan_config(text, "config", other);
    if (wan_shapes(wan_sizes(there, "there"), WanNaming::kDiffusers).size() != 27 * static_cast<size_t>(sizes.num_layers) + 15)
      throw std::logic_error("what was accepted describes another network in the other layout");
    back = convert_wan_config(there, "there", naming);
  } catch (const InputError& error) { throw std::logic_error("what was accepted is refused in the other layout: " + std::string(error.what())); }
  // A text of its own `_converted_from` may come back as what it came from: only then do the two differ.
  if (text.find("_converted_from") == std::string::npos && back != convert_wan_config(text, "config", naming))
    throw std::logic_error("what was accepted differs when it came back");
}

}  // namespace

Target wan_config_target() {
  return {.name = "wan_config",
          .seeds = {"tests/golden/models/wan_config.json", "tests/fuzz/seeds/wan_original.json"},
          .read = fuzz_wan_config,
          .dictionary = {"\"WanModel\"",
                         "\"WanTransformer3DModel\"",
                         "\"_class_name\":",
                         "\"_converted_from\":{",
                         "\"dim\":",
                         "\"num_heads\":",
                         "\"attention\":[\"linear\"],",
                         "\"patch_size\":[1,2,2],",
                         "\"text_dim\":",
                         "\"window_size\":[-1,-1],",
                         "null",
                         "true",
                         "\"t2v\"",
                         "{",
                         "}",
                         "[",
                         "]",
                         ",",
                         ":",
                         "-1",
                         "1e-06",
                         "16777217",
                         "1e308",
                         "\"in_dim\":16,",
                         "\"in_channels\":16,",
                         "\\u0000",
                         "\\ud800",
                         "\xc3\xa9",
                         "// a\n"},
          .structured = nullptr,
          .isolated = nullptr,
          .library = ""};
}

}  // namespace linden::fuzz
