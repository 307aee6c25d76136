#include "experiment/references.h"

#include <algorithm>

#include "core/config.h"
#include "core/error.h"

namespace linden {

namespace {

struct RowPath {
  std::string row, part, key;  // "rows.<row>.<part>.<key>"
};

// Row names may hold dots, so the part is looked for by its name.
RowPath split_row_path(const std::string& path, const std::string& origin) {
  const std::string rest = path.substr(std::string("rows.").size());
  for (const std::string part : {"match", "values", "deviations"}) {
    const size_t at = rest.find("." + part + ".");
    if (at != std::string::npos) return {rest.substr(0, at), part, rest.substr(at + part.size() + 2)};
  }
  throw InputError(fmt::format("{}: {}: unknown key; a row has \"match\", \"values\" and \"deviations\"", origin, path));
}

ReferenceRow& row_named(References& references, const std::string& name) {
  const auto found = std::find_if(references.rows.begin(), references.rows.end(), [&](const ReferenceRow& row) { return row.name == name; });
  if (found != references.rows.end()) return *found;
  references.rows.push_back({name, {}, {}});
  return references.rows.back();
}

PublishedValue& value_named(ReferenceRow& row, const std::string& metric) {
  for (PublishedValue& value : row.values) {
    if (value.metric == metric) return value;
  }
  row.values.push_back({metric, 0, 0});
  return row.values.back();
}

void add_row_entry(References& references, const JsonScalar& scalar, const std::string& origin) {
  const RowPath path = split_row_path(scalar.path, origin);
  ReferenceRow& row = row_named(references, path.row);
  if (path.part == "match") {
    row.match.emplace_back(path.key, scalar.text);
    return;
  }
  check_input(scalar.is_number, "{}: {} is {}, but a published value is a number", origin, scalar.path, scalar.text);
  PublishedValue& value = value_named(row, path.key);
  (path.part == "values" ? value.mean : value.deviation) = scalar.number;
}

}  // namespace

bool ReferenceRow::matches(const RunRecord& run) const {
  return std::all_of(match.begin(), match.end(), [&](const auto& entry) { return run.text(entry.first) == entry.second; });
}

const PublishedValue* ReferenceRow::find(const std::string& metric) const {
  // A metric on features is published under its plain name: the features are never the same ones.
  const std::string plain = metric.substr(0, metric.find(" ["));
  for (const PublishedValue& value : values) {
    if (value.metric == metric || value.metric == plain) return &value;
  }
  return nullptr;
}

References read_references(const std::filesystem::path& file) {
  References references;
  const std::string origin = file.string();
  for (const JsonScalar& scalar : flatten_json(file)) {
    if (scalar.path == "source") references.source = scalar.text;
    else if (scalar.path == "note") references.note = scalar.text;
    else if (scalar.path.starts_with("rows.")) add_row_entry(references, scalar, origin);
    else throw InputError(fmt::format("{}: {}: unknown key; a file of published numbers has \"source\", \"note\" and \"rows\"", origin, scalar.path));
  }
  check_input(!references.source.empty(), "{}: \"source\" is missing: published numbers are shown with where they were published", origin);
  check_input(!references.rows.empty(), "{}: \"rows\" is missing or empty: there is no published number in it", origin);
  for (const ReferenceRow& row : references.rows) { check_input(!row.values.empty(), "{}: rows.{} has no \"values\"", origin, row.name); }
  return references;
}

}  // namespace linden
