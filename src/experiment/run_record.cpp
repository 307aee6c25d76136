#include "experiment/run_record.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"
#include "experiment/metric_catalogue.h"
#include "transfer/layer_log.h"

namespace linden {

namespace fs = std::filesystem;

namespace {

const JsonScalar* find_scalar(const std::vector<JsonScalar>& scalars, const std::string& path) {
  const auto found = std::find_if(scalars.begin(), scalars.end(), [&](const JsonScalar& scalar) { return scalar.path == path; });
  return found == scalars.end() ? nullptr : &*found;
}

// "metrics.frechet_distance" -> "frechet_distance": an object of numbers in a summary is read as its numbers.
std::string plain_name(const std::string& path) {
  const std::string prefix = "metrics.";
  return path.starts_with(prefix) ? path.substr(prefix.size()) : path;
}

// The features that a run's metrics stand on: what its summary says; a judge's where a run had one.
std::string features_of(const std::string& command, const std::vector<JsonScalar>& config, const std::vector<JsonScalar>& summary) {
  if (const JsonScalar* features = find_scalar(summary, "features")) return features->text;
  const JsonScalar* judge = find_scalar(config, "judge.folder");
  return command == "align" && judge && !judge->text.empty() ? "judge" : "";
}

// The numbers of a list ("1.5,null,2" as flatten_json() writes it); empty where the text is anything else. null is NaN.
std::vector<double> numbers_of(const std::string& text) {
  std::vector<double> numbers;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    const std::string item = text.substr(start, comma - start);
    char* end = nullptr;
    const double value = item == "null" ? std::numeric_limits<double>::quiet_NaN() : std::strtod(item.c_str(), &end);
    if (item.empty() || (end && *end != '\0')) return {};
    numbers.push_back(value);
    start = comma + 1;
  }
  return numbers;
}

// Lists of numbers become one number an entry, after the list "batch_sizes" where there is one of equal length ("eager_ms.8"),
// else after their place ("class_shares.3").
std::vector<JsonScalar> with_lists_as_numbers(const std::vector<JsonScalar>& scalars) {
  const JsonScalar* batches = find_scalar(scalars, "batch_sizes");
  const std::vector<double> sizes = batches ? numbers_of(batches->text) : std::vector<double>();
  std::vector<JsonScalar> out;
  for (const JsonScalar& scalar : scalars) {
    const bool plain = scalar.is_number || scalar.path == "command" || scalar.path == "run" || scalar.text == "null";
    const std::vector<double> numbers = plain ? std::vector<double>() : numbers_of(scalar.text);
    out.push_back(scalar);
    if (numbers.empty() || scalar.path == "batch_sizes") continue;
    for (size_t i = 0; i < numbers.size(); ++i) {
      const std::string name = sizes.size() == numbers.size() ? fmt::format("{}", sizes[i]) : std::to_string(i);
      out.push_back({scalar.path + "." + name, fmt::format("{}", numbers[i]), true, numbers[i]});
    }
  }
  return out;
}

// The last message of a transfer, if with it a detector stopped the run.
std::optional<MessageRow> stop_of(const fs::path& folder) {
  if (!fs::exists(folder / "messages.csv")) return std::nullopt;
  const std::vector<MessageRow> rows = read_message_rows(folder / "messages.csv");
  return rows.empty() || rows.back().level != level_name(Level::kStop) ? std::nullopt : std::optional(rows.back());
}

}  // namespace

RunRecord::RunRecord(const fs::path& folder, std::string name) : folder_(folder), name_(std::move(name)) {
  const bool finished = fs::exists(folder / "summary.json");
  const std::optional<MessageRow> stop = finished ? std::nullopt : stop_of(folder);
  check_input(finished || stop, "no summary.json: the run did not finish; go on with it by --resume");
  check_input(fs::exists(folder / "config.json"), "no config.json beside summary.json: this is not a whole run folder");
  config_ = flatten_json(folder / "config.json");
  if (stop) {
    stopped_ = stop->text;
    const auto step = static_cast<double>(stop->step);
    summary_ = {{"command", "transfer"}, {"stopped_at_step", fmt::format("{}", step), true, step}};
  } else {
    summary_ = with_lists_as_numbers(flatten_json(folder / "summary.json"));
  }
  const JsonScalar* command = find_scalar(summary_, "command");
  check_input(command && !command->text.empty(), "{}: no key \"command\", so it is not known what was run", (folder / "summary.json").string());
  command_ = command->text;
  const std::string features = features_of(command_, config_, summary_);
  for (JsonScalar& scalar : summary_) {
    scalar.path = plain_name(scalar.path);
    if (scalar.is_number) scalar.path = metric_key(scalar.path, features);
  }
}

std::string RunRecord::text(const std::string& key) const {
  if (key == "run") return name_;
  const JsonScalar* scalar = find_scalar(config_, key);
  if (!scalar) scalar = find_scalar(summary_, key);
  return scalar ? scalar->text : "";
}

bool RunRecord::has(const std::string& key) const { return find_scalar(config_, key) || find_scalar(summary_, key); }

double RunRecord::number(const std::string& key) const {
  const JsonScalar* scalar = find_scalar(summary_, key);
  if (!scalar) scalar = find_scalar(config_, key);
  return scalar && scalar->is_number ? scalar->number : std::numeric_limits<double>::quiet_NaN();
}

std::vector<std::string> RunRecord::metrics() const {
  std::vector<std::string> names;
  for (const JsonScalar& scalar : summary_) {
    if (scalar.is_number) names.push_back(scalar.path);
  }
  return names;
}

namespace {

bool looks_like_run(const fs::path& folder) {
  return fs::exists(folder / "summary.json") || (fs::exists(folder / "command.json") && fs::exists(folder / "config.json"));
}

// By hand: LibTorch exports a std::filesystem whose recursive iterator crashes.
void add_folders_under(const fs::path& folder, std::vector<fs::path>& folders) {
  folders.push_back(folder);
  std::error_code unreadable;
  for (const auto& entry : fs::directory_iterator(folder, unreadable)) {
    if (entry.is_directory() && !entry.is_symlink()) add_folders_under(entry.path(), folders);
  }
}

std::vector<fs::path> folders_under(const fs::path& root) {
  std::vector<fs::path> folders;
  add_folders_under(root, folders);
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::string name_of(const fs::path& folder, const fs::path& root, bool several_roots) {
  const std::string relative = folder.lexically_relative(root).generic_string();
  if (relative == ".") return folder.lexically_normal().generic_string();
  return several_roots ? folder.lexically_normal().generic_string() : relative;
}

std::string list_of(const std::vector<BrokenRun>& broken) {
  std::string lines;
  for (const BrokenRun& run : broken) lines += fmt::format("\n  {}: {}", run.name, run.reason);
  return lines;
}

}  // namespace

RunCollection collect_runs(const std::vector<fs::path>& roots) {
  check_input(!roots.empty(), "no folder of runs was named; give one or more: linden report runs/quickstart --output report");
  RunCollection collection;
  size_t num_searched = 0;
  std::set<fs::path> seen;  // a folder named twice counts once
  for (const fs::path& root : roots) {
    check_input(fs::is_directory(root), "{}: there is no such folder; name a folder that holds run folders", root.string());
    for (const fs::path& folder : folders_under(root)) {
      ++num_searched;
      if (!looks_like_run(folder) || !seen.insert(fs::canonical(folder)).second) continue;
      const std::string name = name_of(folder, root, roots.size() > 1);
      try {
        RunRecord record(folder, name);
        if (record.command() != "sweep" && record.command() != "report") collection.runs.push_back(std::move(record));
      } catch (const InputError& error) { collection.broken.push_back({name, error.what()}); }
    }
  }
  check_input(!collection.runs.empty() || !collection.broken.empty(),
              "{}: no run found in {} folder(s). A run is a folder with config.json and summary.json, as `linden align` or "
              "`linden train` leaves behind",
              roots.front().string(), num_searched);
  check_input(!collection.runs.empty(), "{}: none of the {} run folder(s) can be reported:{}", roots.front().string(), collection.broken.size(),
              list_of(collection.broken));
  return collection;
}

}  // namespace linden
