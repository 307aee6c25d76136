// Published numbers beside our own: a small JSON file, shown apart and labelled with its source.
//
//     {
//       "source": "Jain et al. 2025, Table 1",
//       "note": "1e6 NFE, mean and deviation over classes; features not published",
//       "rows": {
//         "DTS, single digits": {
//           "match": {"method.type": "dts"},
//           "values": {"mean_reward": -0.023, "frechet_distance": 0.014},
//           "deviations": {"mean_reward": 0.006, "frechet_distance": 0.005}
//         }
//       }
//     }
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "experiment/run_record.h"

namespace linden {

struct PublishedValue {
  std::string metric;
  double mean = 0, deviation = 0;
};
struct ReferenceRow {
  std::string name;
  std::vector<std::pair<std::string, std::string>> match;  // config key and its value as text
  std::vector<PublishedValue> values;
  bool matches(const RunRecord& run) const;  // every key agrees
  const PublishedValue* find(const std::string& metric) const;
};
struct References {
  std::string source, note;
  std::vector<ReferenceRow> rows;
};

// InputError: bad JSON, no source, a row without values, a value that is no number, an unknown key.
References read_references(const std::filesystem::path& file);

}  // namespace linden
