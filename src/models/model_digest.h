// Which weights a run was made from: a digest that stays the same wherever the model's folder lies and whatever it is called.
#pragma once

#include <filesystem>
#include <string>

namespace linden {

// SHA-256, in hexadecimal, over the configs of a video model's two networks and the name, dtype, shape and bytes of every tensor.
// The same for one file and for shards, and for both namings of a Wan checkpoint; another for another precision. weights
// "formula:SEED" stands for the tensors. Throws InputError.
std::string video_model_digest(const std::filesystem::path& folder, const std::string& weights);

}  // namespace linden
