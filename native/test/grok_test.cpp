// assay_grok against the formula in double, and its gradients against differences of that.
#include <functional>

#include "arrays.h"

namespace {

struct Case {
  int64_t p, width, heads, head_width, neurons, outputs, pairs;
  bool biases;
};

constexpr int kTensors = 11;

struct Network {
  Case c;
  std::vector<double> w[kTensors];
  std::vector<int32_t> first, second, labels;
  // The smallest distance of what a neuron reads from 0, where its gradient jumps; of all losses
  // computed so far.
  mutable double kink = kInf;

  double at(int tensor, int64_t i) const { return w[tensor].empty() ? 0 : w[tensor][i]; }

  double loss(int64_t pair) const {
    const int64_t token[3] = {first[pair], second[pair], c.p};
    const int64_t inner = c.heads * c.head_width;
    std::vector<double> x[3];
    for (int j = 0; j < 3; j++) {
      for (int64_t d = 0; d < c.width; d++) {
        x[j].push_back(at(0, d * (c.p + 1) + token[j]) + at(1, j * c.width + d));
      }
    }
    const auto times = [](const std::vector<double>& a, const std::vector<double>& v) {
      std::vector<double> y(a.size() / v.size());
      for (size_t i = 0; i < a.size(); i++) y[i / v.size()] += a[i] * v[i % v.size()];
      return y;
    };
    std::vector<double> mixed(inner), query = times(w[3], x[2]);
    for (int64_t h = 0; h < c.heads; h++) {
      double share[3], sum = 0;
      for (int j = 0; j < 3; j++) {
        const std::vector<double> key = times(w[2], x[j]);
        double score = 0;
        for (int64_t e = h * c.head_width; e < (h + 1) * c.head_width; e++) {
          score += query[e] * key[e];
        }
        sum += share[j] = std::exp(score / std::sqrt(static_cast<double>(c.head_width)));
      }
      for (int j = 0; j < 3; j++) {
        const std::vector<double> value = times(w[4], x[j]);
        for (int64_t e = h * c.head_width; e < (h + 1) * c.head_width; e++) {
          mixed[e] += share[j] / sum * value[e];
        }
      }
    }
    std::vector<double> end = times(w[5], mixed);
    for (int64_t d = 0; d < c.width; d++) end[d] += x[2][d];
    std::vector<double> active = times(w[6], end);
    for (int64_t n = 0; n < c.neurons; n++) {
      const double read = active[n] + at(7, n);
      kink = std::fmin(kink, std::fabs(read));
      active[n] = std::fmax(0, read);
    }
    const std::vector<double> out = times(w[8], active);
    std::vector<double> logits(c.outputs);
    for (int64_t d = 0; d < c.width; d++) {
      for (int64_t o = 0; o < c.outputs; o++) {
        logits[o] += at(10, d * c.outputs + o) * (end[d] + out[d] + at(9, d));
      }
    }
    double sum = 0;
    for (double l : logits) sum += std::exp(l - logits[labels[pair]]);
    return std::log(sum);
  }

  double mean() const {
    double sum = 0;
    for (int64_t i = 0; i < c.pairs; i++) sum += loss(i);
    return sum / static_cast<double>(c.pairs);
  }
};

void grok_case(Case c, const Streams& streams) {
  const int64_t inner = c.heads * c.head_width;
  const int64_t sizes[kTensors] = {c.width * (c.p + 1), 3 * c.width,
                                   inner * c.width,     inner * c.width,
                                   inner * c.width,     c.width * inner,
                                   c.neurons * c.width, c.biases ? c.neurons : 0,
                                   c.width * c.neurons, c.biases ? c.width : 0,
                                   c.width * c.outputs};
  const double usual = 1 / std::sqrt(static_cast<double>(c.width));
  Network net{c, {}, {}, {}, {}};
  std::vector<Array> weights, gradients;
  // No neuron is so near to 0 that differences of 1e-6, or the errors of floats, change its sign.
  for (net.kink = 0; net.kink < 2e-5; static_cast<void>(net.mean())) {
    net = Network{c, {}, {}, {}, {}};
    weights.clear();
    gradients.clear();
    for (int t = 0; t < kTensors; t++) {
      const bool unit = t == 0 || t == 1 || t == 7 || t == 9;
      weights.push_back(random(ASSAY_F32, sizes[t], unit ? 1 : usual));
      gradients.push_back(Array(ASSAY_F32, static_cast<size_t>(sizes[t])));
      net.w[t] = weights[t].values;
    }
    for (int64_t i = 0; i < c.pairs; i++) {
      net.first.push_back(static_cast<int32_t>(generator() % c.p));
      net.second.push_back(static_cast<int32_t>(generator() % c.p));
      net.labels.push_back(static_cast<int32_t>(generator() % c.outputs));
    }
  }
  const auto fill = [](assay_grok_weights& to, std::vector<Array>& from) {
    float** fields[kTensors] = {&to.embedding,  &to.positions,    &to.keys,
                                &to.queries,    &to.values,       &to.attention_out,
                                &to.neurons_in, &to.neurons_bias, &to.neurons_out,
                                &to.out_bias,   &to.unembedding};
    for (int t = 0; t < kTensors; t++) {
      *fields[t] =
          from[t].values.empty() ? nullptr : reinterpret_cast<float*>(from[t].memory.data());
    }
  };
  std::vector<double> losses(c.pairs);
  std::vector<int32_t> best(c.pairs);
  assay_grok_params a{};
  a.struct_bytes = sizeof a;
  a.numbers = c.p;
  a.width = c.width;
  a.heads = c.heads;
  a.head_width = c.head_width;
  a.neurons = c.neurons;
  a.outputs = c.outputs;
  fill(a.weights, weights);
  fill(a.gradients, gradients);
  a.pairs = c.pairs;
  a.first = net.first.data();
  a.second = net.second.data();
  a.labels = net.labels.data();
  a.losses = losses.data();
  a.best = best.data();
  int64_t bytes = 0;
  CHECK(assay_grok_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
  std::vector<Array> kept = gradients;
  for (int i = 0; i < kStreams; i++) {
    std::vector<unsigned char> workspace(static_cast<size_t>(bytes), 0xff);  // floats of it are NaN
    for (Array& g : gradients) std::fill(g.memory.begin(), g.memory.end(), 0xff);
    CHECK(assay_grok(&a, workspace.data(), bytes, streams.of[i]) == ASSAY_OK, "%s",
          assay_last_error());
    for (int t = 0; t < kTensors; t++) {
      CHECK(i == 0 || same(gradients[t], kept[t]), "tensor %d differs with %d threads", t, i);
    }
    kept = gradients;
  }
  for (int64_t i = 0; i < c.pairs; i++) close("loss", losses[i], net.loss(i), 2e-5, i);
  for (int t = 0; t < kTensors; t++) {
    if (net.w[t].empty()) continue;
    gradients[t].read();
    const std::vector<double> before = net.w[t];
    double along = 0, length = 0;
    std::vector<double> direction;
    std::normal_distribution<double> normal;
    for (size_t i = 0; i < before.size(); i++) {
      direction.push_back(normal(generator));
      along += direction[i] * gradients[t].values[i];
      length += gradients[t].values[i] * gradients[t].values[i];
    }
    constexpr double kStep = 1e-6;
    for (size_t i = 0; i < before.size(); i++) net.w[t][i] = before[i] + kStep * direction[i];
    const double above = net.mean();
    for (size_t i = 0; i < before.size(); i++) net.w[t][i] = before[i] - kStep * direction[i];
    const double difference = (above - net.mean()) / (2 * kStep);
    net.w[t] = before;
    close("gradient", along, difference, 1e-4 * std::sqrt(length) + 1e-7, t);
  }
  a.pairs = 0;
  CHECK(assay_grok(&a, nullptr, 0, nullptr) == ASSAY_OK, "%s", assay_last_error());
  a.pairs = c.pairs;
  CHECK(assay_grok(&a, nullptr, 0, nullptr) == ASSAY_ERROR_WORKSPACE, "no workspace was accepted");
  a.numbers = 0;
  CHECK(assay_grok(&a, nullptr, 0, nullptr) == ASSAY_ERROR_ARGUMENT, "no numbers were accepted");
}

}  // namespace

void test_grok(const Streams& streams) {
  grok_case({3, 1, 1, 1, 1, 3, 1, false}, streams);
  grok_case({5, 7, 2, 3, 9, 6, 30, true}, streams);
  grok_case({7, 9, 5, 2, 70, 7, 130, true}, streams);
  grok_case({67, 17, 3, 5, 33, 68, 129, false}, streams);
  grok_case({11, 20, 1, 67, 129, 12, 300, true}, streams);
}
