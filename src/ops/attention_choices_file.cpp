// attention_backends.json: {"format": 1, "libtorch": "2.11.0", "choices": [{shape, "fastest", "microseconds", "refused"}]}.
#include <fmt/format.h>
#include <torch/version.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "io/pending_file.h"
#include "ops/attention_choices.h"

namespace linden {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kFormat = 1;

ordered_json to_json(const AttentionShape& s, const AttentionMeasurement& m) {
  ordered_json entry = {{"device", s.device}, {"dtype", s.dtype},       {"batch", s.batch},       {"queries", s.queries}, {"keys", s.keys},
                        {"heads", s.heads},   {"head_dim", s.head_dim}, {"gradient", s.gradient}, {"padded", s.padded},   {"fastest", name_of(m.fastest())}};
  entry["microseconds"] = ordered_json::object();
  entry["refused"] = ordered_json::object();
  for (const auto& [backend, us] : m.microseconds) entry["microseconds"][name_of(backend)] = us;
  for (const auto& [backend, reason] : m.refused) entry["refused"][name_of(backend)] = reason;
  return entry;
}

AttentionBackend backend_named(const std::string& name) {
  const auto backend = attention_backend_of(name);
  check_input(backend.has_value(), "\"{}\" is not a back-end (cudnn, flash, efficient, math)", name);
  return *backend;
}

std::pair<AttentionShape, AttentionMeasurement> from_json(const json& entry) {
  AttentionShape s{entry.at("device"), entry.at("dtype"),    entry.at("batch"),    entry.at("queries"), entry.at("keys"),
                   entry.at("heads"),  entry.at("head_dim"), entry.at("gradient"), entry.at("padded")};
  AttentionMeasurement m;
  for (const auto& [name, us] : entry.at("microseconds").items()) {
    m.microseconds[backend_named(name)] = us.get<double>();
    check_input(std::isfinite(us.get<double>()) && us.get<double>() > 0, "{} took {} us, wanted a time above 0", name, us.dump());
  }
  for (const auto& [name, reason] : entry.at("refused").items()) m.refused[backend_named(name)] = reason.get<std::string>();
  check_input(!m.microseconds.empty(), "there is no back-end that runs");
  return {s, m};
}

}  // namespace

void attention_choices_save(const AttentionChoices& choices, const std::filesystem::path& file) {
  ordered_json document = {{"format", kFormat}, {"libtorch", TORCH_VERSION}, {"choices", ordered_json::array()}};
  for (const auto& [shape, measurement] : choices.all()) document["choices"].push_back(to_json(shape, measurement));
  PendingFile pending(file);
  pending.write(document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
  pending.commit();
}

bool attention_choices_load(AttentionChoices& choices, const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return false;
  const std::string text = read_text_file(file);
  std::string where = "the document";
  try {
    const json document = json::parse(text);
    check_input(document.at("format") == kFormat, "format is {}, wanted {}", document.at("format").dump(), kFormat);
    if (document.at("libtorch") != TORCH_VERSION) {
      log_info("{}: written by LibTorch {}, this is {}: attention is measured again", file.string(), document.at("libtorch").get<std::string>(), TORCH_VERSION);
      return false;
    }
    std::vector<std::pair<AttentionShape, AttentionMeasurement>> entries;
    for (const json& entry : document.at("choices")) {
      where = fmt::format("choices[{}]", entries.size());
      entries.push_back(from_json(entry));
    }
    for (const auto& [shape, measurement] : entries) choices.add(shape, measurement);
    return true;
  } catch (const std::exception& error) {
    throw InputError(fmt::format("{}: {}: {}; delete the file, and attention is measured again", file.string(), where, error.what()));
  }
}

}  // namespace linden
