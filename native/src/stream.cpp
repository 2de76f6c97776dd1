// A pool of threads; one call at a time uses it, tasks are taken from a counter.
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "support.h"

struct assay_stream {
  explicit assay_stream(int32_t threads) {
    try {
      for (int32_t i = 1; i < threads; i++) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~assay_stream() { stop(); }
  assay_stream(const assay_stream&) = delete;
  assay_stream& operator=(const assay_stream&) = delete;

  void run(assay::Task task, const void* job, int64_t count) {
    std::lock_guard<std::mutex> turn(turn_);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = task;
      job_ = job;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      busy_ = workers_.size();
      round_++;
    }
    wake_.notify_all();
    take(task, job, count);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void take(assay::Task task, const void* job, int64_t count) {
    for (;;) {
      const int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= count) return;
      task(job, i);
    }
  }

  void work() {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
      const assay::Task task = task_;
      const void* job = job_;
      const int64_t count = count_;
      lock.unlock();
      take(task, job, count);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  void stop() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  std::mutex turn_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  std::atomic<int64_t> next_{0};
  assay::Task task_ = nullptr;
  const void* job_ = nullptr;
  int64_t count_ = 0;
  size_t busy_ = 0;
  uint64_t round_ = 0;
  bool stopping_ = false;
};

void assay::run(assay_stream* stream, Task task, const void* job, int64_t count) {
  if (stream != nullptr && count > 1) {
    stream->run(task, job, count);
    return;
  }
  for (int64_t i = 0; i < count; i++) task(job, i);
}

extern "C" int32_t assay_stream_create(int32_t threads, struct assay_stream** stream) {
  return assay::guard([&] {
    assay::check_pointer("assay_stream_create", "stream", stream);
    if (threads < 1 || threads > 1024) {
      assay::fail(ASSAY_ERROR_ARGUMENT, "assay_stream_create: threads is %d; 1 to 1024 are allowed",
                  threads);
    }
    *stream = std::make_unique<assay_stream>(threads).release();
  });
}

extern "C" void assay_stream_destroy(struct assay_stream* stream) { delete stream; }
