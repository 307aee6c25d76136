// A checkpoint of a Wan 2.1 video transformer, in whichever layout it lies, seen as diffusers names it:
//
//   a pipeline of diffusers      model_index.json, transformer/, scheduler/, text_encoder/ ...: its transformer/
//   a transformer of diffusers   config.json (WanTransformer3DModel), weights in one file or in shards with an index
//   the original code's folder   config.json (WanModel), diffusion_pytorch_model*.safetensors, or its one .safetensors
//   a weights file or an index   with the config.json of either beside it
//
// Names and shapes are compared with what the config describes before anything is handed out. Tensors of linear
// attention may be there in addition; whether they suit the list `attention` is the network's to say.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/safetensors_set.h"
#include "models/model_folder.h"
#include "models/wan_names.h"

namespace linden {

class WanCheckpoint {
 public:
  // Throws InputError: none of these, a model of another class or task, damaged files, tensors that do not fit the config
  // (all of them at once).
  explicit WanCheckpoint(const std::filesystem::path& model);

  WanNaming naming() const { return naming_; }                     // as it lies on disk
  const std::filesystem::path& folder() const { return folder_; }  // that of config.json
  const SafetensorsSet& files() const { return files_; }           // under the names on disk
  const std::string& config_file() const { return config_file_; }  // as it lies on disk
  // config.json in diffusers' keys for from_json(): without keys that start with an underscore, null as 0 or "".
  std::string config_text(const NullableKeys& nullable) const;

  std::vector<std::string> names() const;            // diffusers', sorted
  at::Tensor tensor(const std::string& name) const;  // as SafetensorsFile::tensor
  NamedTensors tensors() const;                      // all, as views of the mapped files
  // The name on disk of a tensor by its name in diffusers.
  std::string stored_name(const std::string& name) const;

 private:
  void check_tensors() const;

  std::filesystem::path folder_;  // in the order of reading: what is no Wan model is refused before its weights are
  std::string config_file_;
  WanNaming naming_;
  WanSizes sizes_;
  SafetensorsSet files_;
};

// Whether `model` has the files of one: a config.json of either class, in the folder, beside the file or under a
// pipeline's transformer/.
bool is_wan_checkpoint(const std::filesystem::path& model);

}  // namespace linden
