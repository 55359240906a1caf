#include "router/core/catalogue.h"

#include "base/hex.h"

namespace cortensor::router {

Status Catalogue::add(std::unique_ptr<ServedModel> model) {
  if (find(model->manifest.id) != nullptr)
    return fail(ErrorKind::conflict, "model " + model->manifest.id + ": the id is served already");
  if (const ServedModel* same = find_weights(model->manifest.weights); same != nullptr)
    return fail(ErrorKind::conflict,
                "model " + model->manifest.id + ": the same weights are served as " + same->manifest.id);
  models_.push_back(std::move(model));
  return ok();
}

const ServedModel* Catalogue::find(std::string_view id) const {
  for (const auto& model : models_)
    if (model->manifest.id == id) return model.get();
  return nullptr;
}

const ServedModel* Catalogue::find_weights(const Digest& weights) const {
  for (const auto& model : models_)
    if (model->manifest.weights == weights) return model.get();
  return nullptr;
}

}  // namespace cortensor::router
