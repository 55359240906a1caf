// Claims, on every store: a file is there for its owner once it is whole, and cannot be taken away from under
// a batch; a batch is one router's at a time; a line gets one result, and with it one payment, from the
// router that has the batch, whatever the others still want to write.
#include "ledger/batch_store.h"

#include "ledger_fixture.h"

namespace cortensor::ledger::testing {
namespace {

class Batches : public EachStore {
 protected:
  void SetUp() override {
    EachStore::SetUp();
    if (IsSkipped()) return;
    const std::string where = new_store();
    ledger = must_open(where);
    client = open_client(*ledger, {1'000'000}, {100'000});
    store = must_open_batches(where);
    other = must_open_batches(where);
  }

  static std::unique_ptr<BatchStore> must_open_batches(const std::string& where) {
    auto opened = open_batch_store(where);
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message);
    return opened ? *std::move(opened) : nullptr;
  }

  FileId new_file(std::string_view first, std::string_view second = "") {
    File file;
    file.id = FileId("file_" + std::to_string(++files));
    file.account = client.account;
    file.name = "in.jsonl";
    file.purpose = "batch";
    file.created = at(files);
    EXPECT_TRUE(store->begin_file(file));
    EXPECT_TRUE(store->add_piece(file.id, first));
    if (!second.empty()) {
      EXPECT_TRUE(store->add_piece(file.id, second));
    }
    EXPECT_TRUE(store->finish_file(file.id, "batch"));
    return file.id;
  }
  Batch new_batch(const FileId& input) {
    BatchSpec spec;
    spec.account = client.account;
    spec.key_id = "0123456789abcdef";
    spec.input = input;
    spec.endpoint = "/v1/completions";
    spec.session = client.session;
    spec.metadata = "null";
    spec.expiry = at(1'000'000);
    auto made = store->create_batch(spec, at(10));
    EXPECT_TRUE(made) << made.error().message;
    return *made;
  }
  // Of three lines, begun by router 1.
  Batch begun_batch() {
    const Batch made = new_batch(new_file("one\ntwo\n", "three"));
    const auto taken = store->take_batches(node_number(1), at(100), at(20), at(20));
    EXPECT_EQ(taken->size(), 1u);
    const Batch batch = taken->front();
    EXPECT_EQ(batch.id, made.id);
    EXPECT_TRUE(store->forget_lines(batch.id, batch.epoch));
    const LinePlace lines[] = {{0, 0, 0, 3, "a"}, {1, 0, 4, 3, "b"}, {2, 1, 0, 5, "c"}};
    EXPECT_TRUE(store->add_lines(batch.id, batch.epoch, lines));
    EXPECT_TRUE(store->begin_batch(batch.id, batch.epoch, 3, at(21)));
    return *store->batch(client.account, batch.id);
  }
  std::string content(const FileId& file) {
    std::string all;
    for (std::int64_t next = 0;;) {
      const auto piece = store->piece(file, next);
      EXPECT_TRUE(piece);
      if (!*piece) return all;
      all += (*piece)->text;
      next = (*piece)->number + 1;
    }
  }
  Settlement paying(const LineResult& line, std::string task) {
    auto settlement =
        settlement_of(client.session, std::move(task), {{Payment::Kind::miner, node_number(9), 7}});
    settlement.line = line;
    return settlement;
  }

  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<BatchStore> store, other;
  Client client;
  int files = 0;
};

INSTANTIATE_TEST_SUITE_P(, Batches, ::testing::Values("sqlite", "postgres"), store_name);

TEST_P(Batches, AFileIsThereOnceItIsWholeAndForItsOwnerAlone) {
  File file{FileId("file_x"), client.account, "in.jsonl", "batch", 0, at(5)};
  ASSERT_TRUE(store->begin_file(file));
  ASSERT_TRUE(store->add_piece(file.id, "{}\n"));
  expect_error(store->file(client.account, file.id), ErrorKind::not_found);
  expect_error(store->add_piece(file.id, "{}\n{}\n\xff\n"), ErrorKind::invalid_input, "line 4 ");
  expect_error(store->add_piece(file.id, std::string_view("a\0", 2)), ErrorKind::invalid_input, "line 2 ");
  ASSERT_TRUE(store->add_piece(file.id, "räuber"));
  EXPECT_EQ(store->finish_file(file.id, "batch")->bytes, 10u);
  expect_error(store->add_piece(file.id, "more"), ErrorKind::timed_out);
  EXPECT_EQ(content(file.id), "{}\nräuber");
  EXPECT_EQ(store->file(client.account, file.id)->name, "in.jsonl");
  const AccountId stranger = *ledger->create_account("eve", at(6));
  expect_error(store->file(stranger, file.id), ErrorKind::not_found);
  expect_error(store->delete_file(stranger, file.id), ErrorKind::not_found);

  const FileId second = new_file("a\n");
  const auto all = store->list_files(client.account, "batch", {});
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ(all->front().id, second);
  EXPECT_EQ(store->list_files(client.account, "", {20, second.value})->front().id, file.id);
  EXPECT_TRUE(store->list_files(client.account, "other", {})->empty());

  ASSERT_TRUE(store->delete_file(client.account, file.id));
  expect_error(store->file(client.account, file.id), ErrorKind::not_found);
  EXPECT_EQ(content(file.id), "{}\nräuber");
  while (*store->sweep(at(10))) {
  }
  EXPECT_EQ(content(file.id), "");
  EXPECT_EQ(content(second), "a\n");
}

TEST_P(Batches, AnUploadThatBrokeOffIsSwept) {
  ASSERT_TRUE(store->begin_file({FileId("file_x"), client.account, "in", "batch", 0, at(0)}));
  ASSERT_TRUE(store->add_piece(FileId("file_x"), "{}\n"));
  const auto hour = std::chrono::hours(1);
  EXPECT_FALSE(*store->sweep(at(0) + hour));
  while (*store->sweep(at(1) + hour)) {
  }
  EXPECT_EQ(content(FileId("file_x")), "");
  expect_error(store->finish_file(FileId("file_x"), "batch"), ErrorKind::timed_out);
}

TEST_P(Batches, TheLinesOfABatchAreReadOutOfItsFile) {
  const Batch batch = begun_batch();
  EXPECT_EQ(batch.state, BatchState::in_progress);
  const auto lines = store->pending(batch, 0, 10);
  ASSERT_EQ(lines->size(), 3u);
  EXPECT_EQ((*lines)[1].text, "two");
  EXPECT_EQ((*lines)[2].text, "three");
  EXPECT_EQ((*lines)[2].custom_id, "c");
  EXPECT_EQ(store->pending(batch, 1, 1)->front().line, 1u);
  expect_error(store->delete_file(client.account, batch.spec.input), ErrorKind::conflict, "has not ended");
  // Whoever thinks that the batch has yet to begin takes nothing away from it.
  expect_error(store->forget_lines(batch.id, batch.epoch), ErrorKind::conflict, "has begun");
  expect_error(store->begin_batch(batch.id, batch.epoch, 0, at(30)), ErrorKind::conflict, "has begun");
  EXPECT_EQ(store->pending(batch, 0, 10)->size(), 3u);
}

TEST_P(Batches, ALineIsPaidAndWrittenTogetherAndOnce) {
  const Batch batch = begun_batch();
  const LineResult result{batch.id, batch.epoch, 1, true, "B\n"};
  ASSERT_TRUE(ledger->settle_task(paying(result, "task_1"), at(30)));
  EXPECT_EQ(*ledger->balance(book_of(node_number(9))), Credits{7});
  EXPECT_EQ(store->pending(batch, 0, 10)->size(), 2u);
  // The same line again, under another task: nobody is paid for it.
  expect_error(ledger->settle_task(paying(result, "task_2"), at(31)), ErrorKind::cancelled, "line 2 ");
  EXPECT_EQ(*ledger->balance(book_of(node_number(9))), Credits{7});
  // What is refused beside it does not hinder it, and is not written.
  Settlement unpaid = paying({batch.id, batch.epoch, 0, true, "A\n"}, "task_3");
  unpaid.payments[0].amount = 1'000'000;
  expect_error(ledger->settle_task(unpaid, at(32)), ErrorKind::payment_required);
  EXPECT_EQ(store->pending(batch, 0, 10)->size(), 2u);

  const LineResult rest[] = {{batch.id, batch.epoch, 2, false, "C\n"},
                             {batch.id, batch.epoch, 1, false, "again\n"}};
  ASSERT_TRUE(store->finish_lines(rest));
  expect_error(store->end_batch(batch.id, batch.epoch, false, at(40)), ErrorKind::conflict);
  ASSERT_TRUE(ledger->settle_task(paying({batch.id, batch.epoch, 0, true, "A\n"}, "task_4"), at(41)));
  expect_error(store->file(client.account, batch.output), ErrorKind::not_found);
  EXPECT_EQ(*store->end_batch(batch.id, batch.epoch, false, at(42)), BatchState::completed);

  const Batch ended = *store->batch(client.account, batch.id);
  EXPECT_EQ(ended.completed, 2u);
  EXPECT_EQ(ended.failed, 1u);
  EXPECT_EQ(ended.ended, at(42));
  EXPECT_EQ(content(ended.output), "A\nB\n");
  EXPECT_EQ(content(ended.errors), "C\n");
  EXPECT_EQ(store->file(client.account, ended.output)->bytes, 4u);
  EXPECT_TRUE(store->delete_file(client.account, batch.spec.input));
  expect_clean(*ledger);
}

TEST_P(Batches, OfSeveralChoicesNoneIsPaidOnceTheLineIsDone) {
  const Batch batch = begun_batch();
  std::vector<Settlement> two(2, paying({batch.id, batch.epoch, 0, true, ""}, "task_1"));
  two[1].choice = 1;
  two[1].line->text = "A\n";
  for (const Status& status : ledger->settle_tasks(two, at(30))) EXPECT_TRUE(status);
  EXPECT_EQ(*ledger->balance(book_of(node_number(9))), Credits{14});
  for (Settlement& one : two) one.task = TaskId("task_2");
  for (const Status& status : ledger->settle_tasks(two, at(31))) expect_error(status, ErrorKind::cancelled);
  EXPECT_EQ(*ledger->balance(book_of(node_number(9))), Credits{14});
}

TEST_P(Batches, ABatchIsOneRoutersAndGoesToAnotherWhenThatIsSilent) {
  const Batch batch = begun_batch();
  EXPECT_TRUE(other->take_batches(node_number(2), at(150), at(50), at(50))->empty());
  EXPECT_EQ(store->take_batches(node_number(1), at(140), at(70), at(70))->front().epoch, batch.epoch);
  EXPECT_TRUE(other->take_batches(node_number(2), at(239), at(139), at(139))->empty());

  const auto taken = other->take_batches(node_number(2), at(250), at(140), at(140));
  ASSERT_EQ(taken->size(), 1u);
  EXPECT_GT(taken->front().epoch, batch.epoch);
  EXPECT_TRUE(store->take_batches(node_number(1), at(260), at(160), at(160))->empty());

  // What the first one still has in its hands is worth nothing.
  const LineResult late{batch.id, batch.epoch, 0, true, "late\n"};
  expect_error(ledger->settle_task(paying(late, "task_1"), at(170)), ErrorKind::cancelled);
  expect_error(store->finish_lines({&late, 1}), ErrorKind::cancelled);
  expect_error(store->end_batch(batch.id, batch.epoch, false, at(170)), ErrorKind::cancelled);
  expect_error(store->forget_lines(batch.id, batch.epoch), ErrorKind::cancelled);
  EXPECT_EQ(*ledger->balance(book_of(node_number(9))), Credits{0});
  ASSERT_TRUE(
      ledger->settle_task(paying({batch.id, taken->front().epoch, 0, true, "A\n"}, "task_2"), at(171)));
  EXPECT_EQ(*ledger->balance(book_of(node_number(9))), Credits{7});
}

TEST_P(Batches, ABatchThatIsGivenBackIsTheNextOnes) {
  const Batch batch = begun_batch();
  ASSERT_TRUE(store->give_back(batch.id, batch.epoch, at(30)));
  EXPECT_TRUE(other->take_batches(node_number(2), at(130), at(29), at(31))->empty());
  const auto taken = other->take_batches(node_number(2), at(130), at(31), at(31));
  ASSERT_EQ(taken->size(), 1u);
  EXPECT_GT(taken->front().epoch, batch.epoch);
  expect_error(store->give_back(batch.id, batch.epoch, at(32)), ErrorKind::cancelled);
}

TEST_P(Batches, ABatchIsCancelledOnce) {
  const Batch batch = begun_batch();
  EXPECT_EQ(store->cancel_batch(client.account, batch.id, at(30))->state, BatchState::cancelling);
  const LineResult rest[] = {{batch.id, batch.epoch, 0, false, "x\n"},
                             {batch.id, batch.epoch, 1, false, "y\n"},
                             {batch.id, batch.epoch, 2, false, "z\n"}};
  ASSERT_TRUE(store->finish_lines(rest));
  EXPECT_EQ(*store->end_batch(batch.id, batch.epoch, false, at(31)), BatchState::cancelled);
  expect_error(store->cancel_batch(client.account, batch.id, at(32)), ErrorKind::conflict, "cancelled");
  expect_error(store->file(client.account, batch.output), ErrorKind::not_found);
  EXPECT_TRUE(store->take_batches(node_number(1), at(200), at(99), at(99))->empty());
  EXPECT_EQ(store->list_batches(client.account, {})->front().cancelled, at(30));
}

TEST_P(Batches, OneWithBadInputFailsAndLeavesNoFiles) {
  const Batch made = new_batch(new_file("x\n"));
  const Batch batch = store->take_batches(node_number(1), at(100), at(20), at(20))->front();
  ASSERT_TRUE(store->fail_batch(batch.id, batch.epoch, "[1]", at(21)));
  const Batch failed = *store->batch(client.account, made.id);
  EXPECT_EQ(failed.state, BatchState::failed);
  EXPECT_EQ(failed.faults, "[1]");
  EXPECT_EQ(store->list_files(client.account, "", {})->size(), 1u);
  expect_error(store->file(client.account, made.output), ErrorKind::not_found);
}

TEST_P(Batches, ThereAreOnlySoManyAtATime) {
  const FileId input = new_file("x\n");
  for (std::size_t i = 0; i < kMaxUnendedBatches; ++i) new_batch(input);
  BatchSpec spec;
  spec.account = client.account;
  spec.input = input;
  expect_error(store->create_batch(spec, at(50)), ErrorKind::overloaded, "50 batches");
  spec.input = FileId("file_none");
  expect_error(store->create_batch(spec, at(50)), ErrorKind::not_found, "file_none");
}

}  // namespace
}  // namespace cortensor::ledger::testing
