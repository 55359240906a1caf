// Lists a page at a time, as OpenAI's API has them.
#pragma once

#include "http/message.h"
#include "ledger/batch_store.h"
#include "router/api/body_reader.h"

namespace cortensor::router {

// `limit` and `after` of the query.
Parsed<ledger::Page> page_of(const http::Request& request, std::size_t usual, std::size_t most);

// Of rows with an `id`, of which one more was asked for than the page has.
Json list_json(Json rows, const ledger::Page& page);

// Unix seconds.
Json time_json(WallTime time);
Json time_json(const std::optional<WallTime>& time);

}  // namespace cortensor::router
