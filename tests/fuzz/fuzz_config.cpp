// JSON configs: the config types of `linden align` and `linden train`. What is accepted must be the same when it is
// written and read again.
#include <stdexcept>

#include "align/config.h"
#include "core/error.h"
#include "tests/fuzz/target.h"
#include "train/config.h"

namespace linden::fuzz {
namespace {

template <class Config>
void read_as(const std::string& text) {
  Config config;
  from_json(text, "config", config);
  const std::string written = to_json(config);
  Config again;
  try {
    from_json(written, "written", again);
  } catch (const InputError& error) { throw std::logic_error("what was accepted is refused when it was written: " + std::string(error.what())); }
  if (to_json(again) != written) throw std::logic_error("what was accepted differs when it was written and read");
}

void fuzz_config(std::span<const std::byte> bytes) {
  const std::string text(text_of(bytes));
  if (text.find("\"method\"") != std::string::npos) return read_as<AlignConfig>(text);
  read_as<TrainConfig>(text);
}

}  // namespace

Target config_target() {
  return {.name = "config",
          .seeds = {"tests/fuzz/seeds/align.json", "tests/fuzz/seeds/train.json", "configs/align/gmm_dts.json", "configs/train/gmm_mlp.json"},
          .read = fuzz_config,
          .dictionary = {"\"type\":",
                         "\"unet2d\"",
                         "\"dts_star\"",
                         "\"ddpm\"",
                         "\"mlp\"",
                         "\"base\":\"x\",",
                         "\"branch_at\":[1,2]",
                         "{",
                         "}",
                         "[",
                         "]",
                         ",",
                         ":",
                         "null",
                         "true",
                         "-0",
                         "1e308",
                         "1e-400",
                         "-1e999",
                         "0.5",
                         "// a\n",
                         "/*",
                         "\"\\ud800\"",
                         "\\u0000",
                         "\xc3\xa9",
                         "{\"a\":",
                         "\"seed\":"},
          .structured = nullptr,
          .isolated = nullptr,
          .library = ""};
}

}  // namespace linden::fuzz
