#include "experiment/transfer_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "core/config.h"
#include "core/error.h"
#include "core/files.h"
#include "experiment/numbers.h"
#include "experiment/transfer_figures.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostStrips = 6;
constexpr int64_t kWanLayers = 30;
// Wan 2.1 1.3B, counted from 0 (arXiv 2510.08318; the layers are known from a note on the paper).
constexpr const char* kWanSelection = "1-7, 9-12, 14, 15, 22, 24, 29";

// What a run folder holds, as far as it could be read.
struct TransferFiles {
  std::vector<LayerRow> layers;
  std::vector<BinRow> bins;
  std::vector<MessageRow> messages;
  bool has_messages = false;
  CsvColumns metrics;
  std::vector<JsonScalar> config, summary;
  std::vector<std::string> missing;
};

// The value of `name`, at the top or else at any depth: where a section of the config stands is not this report's to know.
const JsonScalar* find_key(const std::vector<JsonScalar>& scalars, const std::string& name) {
  const JsonScalar* found = nullptr;
  for (const JsonScalar& scalar : scalars) {
    if (scalar.path == name) return &scalar;
    if (!found && scalar.path.ends_with("." + name)) found = &scalar;
  }
  return found;
}

TransferFiles read_files(const fs::path& run) {
  TransferFiles files;
  const auto read = [&](const char* name, const char* what, auto&& action) {
    const fs::path file = run / name;
    if (!fs::exists(file)) {
      files.missing.push_back(fmt::format("{}: not there, so there is no {}", name, what));
      return;
    }
    try {
      action(file);
    } catch (const std::exception& error) { files.missing.push_back(fmt::format("{}: {}", name, error.what())); }
  };
  read("layers.csv", "curve of the gates", [&](const fs::path& file) { files.layers = read_layer_rows(file); });
  read("bins.csv", "velocity error by sigma", [&](const fs::path& file) { files.bins = read_bin_rows(file); });
  read("messages.csv", "list of messages", [&](const fs::path& file) {
    files.messages = read_message_rows(file);
    files.has_messages = true;
  });
  read("metrics.csv", "curve of the losses", [&](const fs::path& file) { files.metrics = read_csv_columns(file); });
  read("config.json", "mark of the commit", [&](const fs::path& file) { files.config = flatten_json(file); });
  read("summary.json", "table of results: the run has not ended", [&](const fs::path& file) { files.summary = flatten_json(file); });
  return files;
}

CommitStep commit_step(const TransferFiles& files) {
  const JsonScalar* stored = find_key(files.summary, "commit_step");
  if (stored && stored->is_number) return static_cast<int64_t>(stored->number);
  const JsonScalar *share = find_key(files.config, "commit_at"), *steps = find_key(files.config, "steps"), *selection = find_key(files.config, "selection");
  if (!share || !steps || !share->is_number || !steps->is_number || (selection && selection->text != "learned")) return std::nullopt;
  return static_cast<int64_t>(std::floor(share->number * steps->number + 1e-9));
}

std::optional<std::vector<int64_t>> stored_linear_layers(const TransferFiles& files) {
  const JsonScalar* stored = find_key(files.summary, "linear_layers");
  if (!stored) return std::nullopt;
  std::vector<int64_t> layers;
  std::istringstream in(stored->text);
  for (std::string cell; std::getline(in, cell, ',');)
    if (!cell.empty()) layers.push_back(std::strtoll(cell.c_str(), nullptr, 10));
  return layers;
}

int64_t count_layers(const TransferFiles& files) {
  int64_t count = 0;
  if (const JsonScalar* stored = find_key(files.summary, "num_layers"); stored && stored->is_number) count = static_cast<int64_t>(stored->number);
  for (const LayerRow& row : files.layers) count = std::max(count, row.layer + 1);
  if (const auto linear = stored_linear_layers(files))
    for (const int64_t layer : *linear) count = std::max(count, layer + 1);
  return count;
}

Picture svg_picture(const std::string& stem, std::string bytes) {
  Picture picture;
  picture.stem = stem;
  picture.bytes = std::move(bytes);
  return picture;
}

Picture png_picture(const std::string& stem, const std::string& label, const fs::path& file, bool pixels) {
  Picture picture;
  picture.kind = Picture::Kind::kPng;
  picture.stem = stem;
  picture.label = label;
  picture.bytes = read_text_file(file);
  picture.pixels = pixels;
  return picture;
}

void add_result_tables(Document& document, const TransferFiles& files) {
  if (files.summary.empty()) return;
  document.blocks.push_back(Heading{2, "Result"});
  const auto shown = [](const JsonScalar& s) { return s.is_number ? format_number(s.number) : s.text; };
  // teacher.x beside student.x
  std::map<std::string, std::map<std::string, std::string>> pairs;
  Table numbers;
  numbers.key_columns = numbers.key_labels = {"Number", "Value"};
  for (const JsonScalar& scalar : files.summary) {
    std::string path = scalar.path;
    if (path == "run") continue;  // a place on this machine
    for (const std::string who : {"teacher", "student"})
      for (const std::string& prefix : {who + ".", who + "_", "metrics." + who + "."})
        if (scalar.is_number && path.starts_with(prefix) && path.size() > prefix.size()) pairs[path.substr(prefix.size())][who] = shown(scalar);
    std::string value = shown(scalar);
    for (size_t comma = 0; (comma = value.find(',', comma)) != std::string::npos && path.ends_with("layers"); comma += 2) value.replace(comma, 1, ", ");
    numbers.rows.push_back({{path, value}, {}, {}, {}});
  }
  std::erase_if(pairs, [](const auto& entry) { return entry.second.size() < 2; });
  if (!pairs.empty()) {
    Table table;
    table.key_columns = table.key_labels = {"Metric", "Teacher", "Student"};
    for (const auto& [name, values] : pairs) table.rows.push_back({{metric_info(name).label, values.at("teacher"), values.at("student")}, {}, {}, {}});
    document.blocks.push_back(table);
  }
  document.blocks.push_back(numbers);
}

void add_messages(Document& document, const TransferFiles& files) {
  if (!files.has_messages) return;
  document.blocks.push_back(Heading{2, "What the detectors said"});
  if (files.messages.empty()) document.blocks.push_back(Paragraph{"Nothing: no warning was raised."});
  BulletList list;
  for (const MessageRow& message : files.messages) list.items.push_back(fmt::format("Step {}, {}: {}", message.step, message.level, message.text));
  if (!list.items.empty()) document.blocks.push_back(list);
}

void add_layers(Document& document, const TransferFiles& files, CommitStep commit) {
  const int64_t num_layers = count_layers(files);
  if (num_layers == 0) return;
  document.blocks.push_back(Heading{2, "Layers"});
  const auto stored = stored_linear_layers(files);
  std::vector<int64_t> linear = stored.value_or(std::vector<int64_t>{});
  std::string label = "Which layers became linear";
  if (!stored) {  // while it runs: what rounding would choose now
    const int64_t newest = files.layers.back().step;
    for (const LayerRow& row : files.layers)
      if (row.step == newest && row.r <= 0.5) linear.push_back(row.layer);
    label = fmt::format("Layers with r below 0.5 at step {} (the run has not ended)", newest);
  }
  std::string caption = linear.empty() ? "No layer is linear." : fmt::format("{} of {} layers: {}.", linear.size(), num_layers, fmt::join(linear, ", "));
  if (num_layers == kWanLayers)
    caption +=
        fmt::format(" LinVideo's own selection for Wan 2.1 1.3B, which has as many layers: {} (16, counted from 0; published, not linden's).", kWanSelection);
  document.blocks.push_back(Figure{caption, {svg_picture("layer-map", cells_svg(layer_map_figure(linear, num_layers, label)))}});
  if (files.layers.empty()) return;
  document.blocks.push_back(Figure{"One curve a layer, coloured by depth. At the commit the smallest scores become 0 and all others 1.",
                                   {svg_picture("scores", curves_svg(scores_figure(files.layers, num_layers, commit)))}});
  document.blocks.push_back(
      Figure{"What moves the scores. The constraint pushes all layers alike, the matching loss tells them apart: far below the constraint it "
             "cannot rank layers, far above it no layer is converted. What is below a millionth of the largest is not drawn.",
             {svg_picture("gate-gradients", curves_svg(gate_gradient_figure(files.layers, num_layers, commit)))}});
}

void add_losses(Document& document, const TransferFiles& files, CommitStep commit) {
  std::vector<std::string> losses, errors, clips, others;
  for (const std::string& name : files.metrics.names) {
    const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
    if (has("loss") || has("constraint") || has("regulariser") || has("matching")) losses.push_back(name);
    else if (has("velocity") || has("gap")) errors.push_back(name);
    else if (has("saturat") || has("deviation") || has("motion")) clips.push_back(name);
    else if (has("gradient_norm") || name == "learning_rate" || name == "num_linear" || name == "alpha") others.push_back(name);
  }
  Figure figure{"Means over the steps between two rows of metrics.csv. On a logarithmic axis zeros are not drawn.", {}};
  const auto add = [&](const std::vector<std::string>& names, const std::string& stem, const std::string& title) {
    const CurveFigure curves = metrics_figure(files.metrics, names, title, commit);
    if (!curves.curves.empty()) figure.pictures.push_back(svg_picture(stem, curves_svg(curves)));
  };
  add(losses, "losses", "Parts of the loss");
  add(errors, "velocity-error", "Velocity error");
  for (const std::string& name : others) add({name}, name, name);  // each has its own unit
  for (const std::string& name : clips) add({name}, name, name);
  if (figure.pictures.empty()) return;
  document.blocks.push_back(Heading{2, "Loss and error"});
  document.blocks.push_back(figure);
}

void add_gap(Document& document, const TransferFiles& files, CommitStep commit) {
  if (files.bins.empty()) return;
  document.blocks.push_back(Heading{2, "Where on the trajectory"});
  document.blocks.push_back(Figure{"Empty places: no sample fell there.", {svg_picture("gap-map", heat_map_svg(gap_map_figure(files.bins, commit)))}});
  document.blocks.push_back(Figure{"An error that is much larger at one end says which times the loss does not reach.",
                                   {svg_picture("gap-by-time", curves_svg(gap_by_time_figure(files.bins, commit)))}});
}

// Steps of strip_<step>.png, rising.
std::vector<int64_t> strip_steps(const fs::path& run) {
  std::vector<int64_t> steps;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string stem = entry.path().stem().string(), digits = stem.substr(std::min<size_t>(stem.size(), 6));
    if (entry.path().extension() != ".png" || !stem.starts_with("strip_") || digits.empty() || digits.size() > 15 ||
        digits.find_first_not_of("0123456789") != std::string::npos)
      continue;
    steps.push_back(std::stoll(digits));
  }
  std::ranges::sort(steps);
  return steps;
}

void add_clips(Document& document, const fs::path& run, TransferFiles& files) {
  const std::vector<int64_t> steps = strip_steps(run);
  Figure moving{"The same seeds: the teacher, the student before the commit, the student at the end.", {}};
  std::vector<std::string> absent;
  for (const auto& [name, label] : std::vector<std::pair<std::string, std::string>>{{"teacher", "Teacher"}, {"before", "Before"}, {"after", "After"}}) {
    const fs::path file = run / (name + ".apng");
    if (fs::exists(file)) moving.pictures.push_back(png_picture(name, label, file, true));
    else absent.push_back(name + ".apng");
  }
  if (!absent.empty()) files.missing.push_back(fmt::format("{}: not there, so these clips are not shown", fmt::join(absent, ", ")));
  if (steps.empty()) files.missing.push_back("strip_<step>.png: none there, so there is no comparison of frames");
  if (steps.empty() && moving.pictures.empty()) return;
  document.blocks.push_back(Heading{2, "Clips"});
  if (!moving.pictures.empty()) document.blocks.push_back(moving);
  std::set<int64_t> chosen;
  const size_t count = std::min(kMostStrips, steps.size());
  for (size_t i = 0; i < count; ++i) chosen.insert(steps[count == 1 ? 0 : i * (steps.size() - 1) / (count - 1)]);
  for (const int64_t step : chosen) {
    const std::string stem = fmt::format("strip_{}", step);
    document.blocks.push_back(Figure{step == *chosen.begin() ? "In each pair of rows the teacher's frames stand above the student's." : "",
                                     {png_picture(stem, fmt::format("Step {}", step), run / (stem + ".png"), false)}});
  }
  if (steps.size() > count) document.blocks.push_back(Paragraph{fmt::format("{} of {} strips are shown.", count, steps.size()), true});
  if (!chosen.empty() && fs::exists(run / fmt::format("strip_{}.apng", *chosen.rbegin()))) {
    const std::string stem = fmt::format("strip_{}", *chosen.rbegin());
    document.blocks.push_back(Figure{"Moving: the teacher's clip left, the student's right of it.",
                                     {png_picture(stem + "-moving", fmt::format("Step {}", *chosen.rbegin()), run / (stem + ".apng"), true)}});
  }
}

}  // namespace

bool is_transfer_run(const fs::path& folder) {
  if (fs::exists(folder / "command.json")) {
    try {
      const std::vector<JsonScalar> scalars = flatten_json(folder / "command.json");
      const JsonScalar* command = find_key(scalars, "command");
      return command && command->text == "transfer";
    } catch (const InputError&) {
      // Judged by what else lies there.
    }
  }
  return fs::exists(folder / "layers.csv");
}

Document transfer_report(const fs::path& run) {
  check_input(fs::is_directory(run), "{}: there is no such folder; name the run folder of a transfer", run.string());
  TransferFiles files = read_files(run);
  const CommitStep commit = commit_step(files);
  Document document;
  const fs::path named = fs::canonical(run);
  document.title = fmt::format("Transfer {}/{}", named.parent_path().filename().string(), named.filename().string());
  int64_t newest = -1;
  if (const std::vector<double>* steps = files.metrics.find("step"))
    for (const double step : *steps) newest = std::max(newest, static_cast<int64_t>(step));
  document.subtitle = fmt::format("{}{}.", files.summary.empty() ? "Not ended" : "Ended", newest < 0 ? "" : fmt::format("; newest row at step {}", newest));
  add_result_tables(document, files);
  add_messages(document, files);
  add_layers(document, files, commit);
  add_losses(document, files, commit);
  add_gap(document, files, commit);
  add_clips(document, run, files);
  if (!files.missing.empty()) {
    document.blocks.push_back(Heading{2, "What could not be shown"});
    document.blocks.push_back(BulletList{files.missing});
  }
  return document;
}

fs::path write_transfer_report(const fs::path& run, const fs::path& output) {
  const Document document = transfer_report(run);
  const fs::path folder = output.empty() ? run : output;
  std::error_code error;
  check_input(!fs::exists(folder / "config.json") || fs::equivalent(folder, run, error),
              "{}: this folder holds another run, whose report would be lost; choose another --output", folder.string());
  fs::create_directories(folder, error);
  check_input(!error && fs::is_directory(folder), "{}: cannot make this folder: {}; choose another --output", folder.string(),
              error ? error.message() : "a file of that name is in the way");
  write_file_atomically(folder / "report.html", document_html(document));
  return folder / "report.html";
}

}  // namespace linden
