// The router's HTTP API: authentication, and a handler per route. Runs on the executor. Spec:
// docs/spec/http-api.md
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/route_table.h"
#include "http/server.h"
#include "router/api/batch_runner.h"
#include "router/api/body_reader.h"
#include "router/api/completion_request.h"
#include "router/api/event_id.h"
#include "router/api/file_upload.h"
#include "router/core/router_core.h"

namespace cortensor::router {

// Where files and batches are.
struct BatchDesk {
  ledger::BatchThread& store;
  BatchRunner& runner;
};

class Api {
 public:
  // Both outlive the API. Without a desk there are no files and no batches.
  explicit Api(RouterCore& core, BatchDesk* desk = nullptr);
  ~Api() { *alive_ = false; }
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // Answers one request.
  void handle(http::Request request, http::Responder responder) const {
    routes_(std::move(request), std::move(responder));
  }
  // Where the body of a request goes that is too long to be kept; null: nowhere else.
  std::shared_ptr<http::BodySink> sink_for(const http::Request& head);

 private:
  struct Caller {
    AccountId account;
    std::string key_id;  // as the ledger names the key
  };
  using Handler = void (Api::*)(const Caller& caller, http::Request& request, http::Responder& responder);
  using OpenHandler = void (Api::*)(http::Request& request, http::Responder& responder);

  void add(std::string_view method, std::string_view path, Handler handler);
  // For anybody; a key that is shown must be right all the same.
  void add_open(std::string_view method, std::string_view path, OpenHandler handler);
  Result<Caller> authenticate(const http::Request& request) const;

  // completions.cc
  void chat(const Caller& caller, http::Request& request, http::Responder& responder);
  void completion(const Caller& caller, http::Request& request, http::Responder& responder);
  void complete(const Caller& caller, const http::Request& request, http::Responder& responder, bool chat);
  // The event behind which a client wants its stream to go on; the call gets the seed that it had then.
  static Parsed<std::optional<EventId>> last_event(Parsed<CompletionCall>& call,
                                                   const http::Request& request);
  // Names a stream's task; yields where its client is.
  Parsed<EventId> identify(const Caller& caller, const CompletionCall& call,
                           const std::optional<EventId>& resumed, TaskSpec& spec);
  // Counts that a complete answer is made again; false when that was too often.
  bool may_make_again(const TaskId& task, WallTime now);
  void embed(const Caller& caller, http::Request& request, http::Responder& responder);
  // The model that a call names; `session` becomes what the header says, which may not contradict the body.
  Parsed<const ServedModel*> model_of(const std::string& name, const http::Request& request,
                                      std::string& session) const;
  // What a call asks the network to compute, the account and the session still to be filled in.
  template <typename Call>
  Parsed<TaskSpec> task_of(Parsed<Call>& call, const http::Request& request,
                           Clock::time_point received) const;
  struct Started {
    TaskId task;
    Standing standing;
  };
  // Starts a task in the session named, or in the key's own. None: it has answered with the error.
  std::optional<Started> start(const Caller& caller, const std::string& session, TaskSpec spec,
                               std::shared_ptr<TaskListener> reply, const http::Responder& responder);

  // sessions.cc
  void create_session(const Caller& caller, http::Request& request, http::Responder& responder);
  void list_sessions(const Caller& caller, http::Request& request, http::Responder& responder);
  void show_session(const Caller& caller, http::Request& request, http::Responder& responder);
  void close_session(const Caller& caller, http::Request& request, http::Responder& responder);
  Json session_json(const ledger::Session& session);

  // files.cc
  void upload_file(const Caller& caller, http::Request& request, http::Responder& responder);
  void list_files(const Caller& caller, http::Request& request, http::Responder& responder);
  void show_file(const Caller& caller, http::Request& request, http::Responder& responder);
  void file_content(const Caller& caller, http::Request& request, http::Responder& responder);
  void delete_file(const Caller& caller, http::Request& request, http::Responder& responder);

  // batches.cc
  void create_batch(const Caller& caller, http::Request& request, http::Responder& responder);
  void list_batches(const Caller& caller, http::Request& request, http::Responder& responder);
  void show_batch(const Caller& caller, http::Request& request, http::Responder& responder);
  void cancel_batch(const Caller& caller, http::Request& request, http::Responder& responder);

  // why.cc
  void why(const Caller& caller, http::Request& request, http::Responder& responder);

  // resources.cc
  void account(const Caller& caller, http::Request& request, http::Responder& responder);
  void receipt(const Caller& caller, http::Request& request, http::Responder& responder);
  void list_models(http::Request& request, http::Responder& responder);
  void show_model(http::Request& request, http::Responder& responder);
  void nodes(http::Request& request, http::Responder& responder);
  void health(http::Request& request, http::Responder& responder);
  void metrics(http::Request& request, http::Responder& responder);
  Json model_json(const ServedModel& model);

  RouterCore& core_;
  BatchDesk* const desk_;
  std::map<AccountId, std::size_t> uploads_;               // in progress
  std::map<TaskId, std::pair<WallTime, int>> made_again_;  // since when, how often; of the last minutes
  http::RouteTable routes_;
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // false once destroyed: late callbacks look first
};

// Answers with the error's status and, where known, the field at fault.
void respond_error(const http::Responder& responder, const Error& error, std::string_view param = {});
void respond_error(const http::Responder& responder, const ApiError& error);
void respond_json(const http::Responder& responder, const Json& json, int status = 200);

}  // namespace cortensor::router
