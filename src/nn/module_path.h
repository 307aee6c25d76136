// Registering a module several levels below another, for checkpoint keys whose middle levels do nothing here
// (`net.0.proj`: a list and an activation in the reference).
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>

namespace linden {

// Makes the empty modules on the way that are not there yet. path: names between dots.
void register_under_path(torch::nn::Module& parent, const std::string& path, std::shared_ptr<torch::nn::Module> module);

template <class Holder>
void register_under_path(torch::nn::Module& parent, const std::string& path, const Holder& holder) {
  register_under_path(parent, path, std::shared_ptr<torch::nn::Module>(holder.ptr()));
}

}  // namespace linden
