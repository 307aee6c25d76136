// linden convert: a Wan checkpoint from the layout of diffusers to that of the original code, and back.
#include <fmt/format.h>

#include "commands/command.h"
#include "core/error.h"
#include "core/progress.h"
#include "models/wan_convert.h"

namespace linden {
namespace {

constexpr const char* kUsage = "linden convert SOURCE TARGET --to diffusers|original [options]";

const char* layout_name(WanNaming naming) { return naming == WanNaming::kDiffusers ? "diffusers" : "original"; }

WanNaming parse_layout(const std::string& text) {
  for (const WanNaming naming : {WanNaming::kDiffusers, WanNaming::kOriginal})
    if (text == layout_name(naming)) return naming;
  throw InputError(fmt::format("linden convert: --to is '{}', wanted diffusers or original", text));
}

// "5.68 GB", "40.1 kB"
std::string size_text(uint64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (value >= 1e9) return fmt::format("{:.2f} GB", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.1f} MB", value / 1e6);
  return fmt::format("{:.1f} kB", value / 1e3);
}

void print_plan(const WanCheckpoint& source, const WanConversionPlan& plan, const std::string& target, WanNaming to) {
  fmt::print("source  {}  ({}, {} tensors in {} file{})\n", source.files().path().string(), layout_name(source.naming()), source.files().num_tensors(),
             source.files().num_files(), source.files().num_files() == 1 ? "" : "s");
  fmt::print("target  {}  ({}, {})\n", target, layout_name(to), size_text(plan.num_bytes));
  for (const auto& file : plan.files) fmt::print("  {}  {} tensors, {}\n", file.name, file.tensors.size(), size_text(file.num_bytes));
}

void run_convert(const CommandLine& line) {
  check_input(line.positional.size() == 2, "linden convert: got {} path(s), wanted a source and a target: {}", line.positional.size(), kUsage);
  check_input(!line.option("to").empty(), "linden convert: --to is missing: {}", kUsage);
  const WanConversion conversion{parse_layout(line.option("to")), parse_conversion_dtype(line.option("dtype", "keep")),
                                 parse_byte_size(line.option("max-shard-size", "5GB"))};
  const std::string target = line.positional[1];
  const WanCheckpoint source(line.positional[0]);
  const WanConversionPlan plan = plan_conversion(source, conversion);
  print_plan(source, plan, target, conversion.to);
  if (line.dry_run) {
    fmt::print("nothing is written: --dry-run\n\nconfig.json\n{}", plan.config);
    return;
  }
  constexpr uint64_t kMB = 1'000'000;
  Progress progress("convert", static_cast<int64_t>(plan.num_bytes / kMB), "MB");
  write_conversion(source, conversion, target, [&](uint64_t bytes) { progress.update(static_cast<int64_t>(bytes / kMB)); });
  progress.finish();
  fmt::print("written: {}\n", target);
}

}  // namespace

Command convert_command() {
  Command command;
  command.name = "convert";
  command.summary = "writes a Wan checkpoint in the layout of diffusers or of the original code";
  command.usage = kUsage;
  command.example = "linden convert Wan2.1-T2V-1.3B wan_1.3b --to diffusers --dtype bf16";
  command.own_options = {{"to", "the layout to write: diffusers or original"},
                         {"dtype", "precision of the weights: keep (default), fp32, bf16, fp16; tables, norms and the time embedding stay fp32"},
                         {"max-shard-size", "bytes of data a file holds at most: 5GB (default), 500MB ..."}};
  command.shared_options = {"dry-run"};
  command.run = run_convert;
  return command;
}

}  // namespace linden
