#include "models/scheduler_file.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"

namespace linden {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

fs::path find_scheduler_file(const fs::path& folder) {
  check_input(fs::is_directory(folder), "{}: no such model folder (relative folders start at {})", folder.string(), fs::current_path().string());
  const fs::path beside = folder / "scheduler_config.json";
  const fs::path plain = folder.has_filename() ? folder : folder.parent_path();  // without a trailing slash
  const fs::path pipeline = plain.parent_path() / "scheduler" / "scheduler_config.json";
  if (fs::exists(beside)) return beside;
  if (fs::exists(pipeline)) return pipeline;
  throw InputError(fmt::format("{}: there is no noise schedule: neither {} nor {} exists", folder.string(), beside.string(), pipeline.string()));
}

// Settings that change the schedule or the meaning of the network's output, and the one value linden has.
void require_default(const Json& json, const fs::path& file, const char* key, const Json& wanted) {
  if (!json.contains(key) || json[key] == wanted) return;
  throw ConfigError(fmt::format("{}: {} is {}, and linden has only {}", file.string(), key, json[key].dump(), wanted.dump()));
}

}  // namespace

NoiseScheduleConfig read_scheduler_config(const fs::path& folder) {
  const fs::path file = find_scheduler_file(folder);
  const Json json = Json::parse(read_text_file(file), nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  check_input(json.is_object(), "{}: not a JSON object", file.string());
  require_default(json, file, "trained_betas", nullptr);
  require_default(json, file, "prediction_type", "epsilon");
  require_default(json, file, "rescale_betas_zero_snr", false);
  Json known = Json::object();  // the file's other keys belong to a sampler
  const std::pair<const char*, const char*> keys[] = {
      {"num_train_timesteps", "num_train_steps"}, {"beta_schedule", "beta_schedule"}, {"beta_start", "beta_start"}, {"beta_end", "beta_end"}};
  for (const auto& [theirs, ours] : keys) {
    if (json.contains(theirs)) known[ours] = json[theirs];
  }
  NoiseScheduleConfig schedule;
  from_json(known.dump(), file.string(), schedule);
  return schedule;
}

void write_scheduler_config(const fs::path& folder, const NoiseScheduleConfig& schedule) {
  Json json = {{"_class_name", "DDIMScheduler"},
               {"num_train_timesteps", schedule.num_train_steps},
               {"beta_start", schedule.beta_start},
               {"beta_end", schedule.beta_end},
               {"beta_schedule", schedule.beta_schedule},
               {"trained_betas", nullptr},
               {"clip_sample", true},
               {"set_alpha_to_one", true},
               {"steps_offset", 0},
               {"timestep_spacing", "leading"},
               {"prediction_type", "epsilon"}};
  fs::create_directories(folder);
  write_file_atomically(folder / "scheduler_config.json", json.dump(2) + "\n");
}

}  // namespace linden
