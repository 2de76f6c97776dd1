// Version, build id and the layout handshake.
#include <cstddef>

#include "support.h"

#define ASSAY_TEXT_(x) #x
#define ASSAY_TEXT(x) ASSAY_TEXT_(x)
#if defined(__clang__)
#define ASSAY_COMPILER "clang " __clang_version__
#else
#define ASSAY_COMPILER "gcc " __VERSION__
#endif
#if defined(__x86_64__)
#define ASSAY_TARGET "x86_64"
#elif defined(__aarch64__)
#define ASSAY_TARGET "aarch64"
#else
#define ASSAY_TARGET "other"
#endif

#if !defined(ASSAY_KIND)
#define ASSAY_KIND ""
#endif

#include <string>

namespace {

std::string layout() {
  std::string text;
  auto begin = [&](const char* name, size_t size) {
    text += std::string(name) + " " + std::to_string(size);
  };
  auto field = [&](const char* name, size_t offset) {
    text += std::string(" ") + name + "=" + std::to_string(offset);
  };
#define FIELD(type, name) field(#name, offsetof(struct type, name))
  begin("assay_matrix", sizeof(assay_matrix));
  FIELD(assay_matrix, data);
  FIELD(assay_matrix, dtype);
  FIELD(assay_matrix, reserved);
  FIELD(assay_matrix, rows);
  FIELD(assay_matrix, columns);
  FIELD(assay_matrix, stride);
  text += "\n";
  begin("assay_token_swap_topk_params", sizeof(assay_token_swap_topk_params));
  FIELD(assay_token_swap_topk_params, struct_bytes);
  FIELD(assay_token_swap_topk_params, embedding);
  FIELD(assay_token_swap_topk_params, head);
  FIELD(assay_token_swap_topk_params, gradient);
  FIELD(assay_token_swap_topk_params, hidden);
  FIELD(assay_token_swap_topk_params, alpha);
  FIELD(assay_token_swap_topk_params, bias);
  FIELD(assay_token_swap_topk_params, unigram);
  FIELD(assay_token_swap_topk_params, allowed);
  FIELD(assay_token_swap_topk_params, forbidden_offsets);
  FIELD(assay_token_swap_topk_params, forbidden_ids);
  FIELD(assay_token_swap_topk_params, kept);
  FIELD(assay_token_swap_topk_params, ids);
  FIELD(assay_token_swap_topk_params, scores);
  FIELD(assay_token_swap_topk_params, found);
  FIELD(assay_token_swap_topk_params, nans);
  FIELD(assay_token_swap_topk_params, lse);
  FIELD(assay_token_swap_topk_params, coarse);
  FIELD(assay_token_swap_topk_params, coarse_scale);
  FIELD(assay_token_swap_topk_params, coarse_error);
  text += "\n";
  begin("assay_head_rows_params", sizeof(struct assay_head_rows_params));
  FIELD(assay_head_rows_params, struct_bytes);
  FIELD(assay_head_rows_params, hidden);
  FIELD(assay_head_rows_params, head);
  FIELD(assay_head_rows_params, bias);
  FIELD(assay_head_rows_params, targets);
  text += "\n";
  begin("assay_fourier_ablate_params", sizeof(struct assay_fourier_ablate_params));
  FIELD(assay_fourier_ablate_params, struct_bytes);
  FIELD(assay_fourier_ablate_params, logits);
  FIELD(assay_fourier_ablate_params, modulus);
  FIELD(assay_fourier_ablate_params, families);
  FIELD(assay_fourier_ablate_params, family_count);
  FIELD(assay_fourier_ablate_params, groups);
  FIELD(assay_fourier_ablate_params, group_count);
  FIELD(assay_fourier_ablate_params, keep);
  FIELD(assay_fourier_ablate_params, rotation);
  FIELD(assay_fourier_ablate_params, next);
  text += "\n";
  begin("assay_adamw_params", sizeof(assay_adamw_params));
  FIELD(assay_adamw_params, struct_bytes);
  FIELD(assay_adamw_params, learning_rate);
  FIELD(assay_adamw_params, beta1);
  FIELD(assay_adamw_params, beta2);
  FIELD(assay_adamw_params, epsilon);
  FIELD(assay_adamw_params, weight_decay);
  FIELD(assay_adamw_params, step);
  text += "\n";
  begin("assay_grok_weights", sizeof(assay_grok_weights));
  FIELD(assay_grok_weights, embedding);
  FIELD(assay_grok_weights, positions);
  FIELD(assay_grok_weights, keys);
  FIELD(assay_grok_weights, queries);
  FIELD(assay_grok_weights, values);
  FIELD(assay_grok_weights, attention_out);
  FIELD(assay_grok_weights, neurons_in);
  FIELD(assay_grok_weights, neurons_bias);
  FIELD(assay_grok_weights, neurons_out);
  FIELD(assay_grok_weights, out_bias);
  FIELD(assay_grok_weights, unembedding);
  text += "\n";
  begin("assay_grok_params", sizeof(assay_grok_params));
  FIELD(assay_grok_params, struct_bytes);
  FIELD(assay_grok_params, numbers);
  FIELD(assay_grok_params, width);
  FIELD(assay_grok_params, heads);
  FIELD(assay_grok_params, head_width);
  FIELD(assay_grok_params, neurons);
  FIELD(assay_grok_params, outputs);
  FIELD(assay_grok_params, weights);
  FIELD(assay_grok_params, gradients);
  FIELD(assay_grok_params, pairs);
  FIELD(assay_grok_params, first);
  FIELD(assay_grok_params, second);
  FIELD(assay_grok_params, labels);
  FIELD(assay_grok_params, losses);
  FIELD(assay_grok_params, best);
  text += "\n";
  begin("assay_grok_grid_params", sizeof(assay_grok_grid_params));
  FIELD(assay_grok_grid_params, struct_bytes);
  FIELD(assay_grok_grid_params, numbers);
  FIELD(assay_grok_grid_params, heads);
  FIELD(assay_grok_grid_params, neurons);
  FIELD(assay_grok_grid_params, scores);
  FIELD(assay_grok_grid_params, tables);
  FIELD(assay_grok_grid_params, constant);
  FIELD(assay_grok_grid_params, map);
  FIELD(assay_grok_grid_params, logits);
  FIELD(assay_grok_grid_params, sums);
  FIELD(assay_grok_grid_params, squares);
  text += "\n";
  begin("assay_suffix_attention_params", sizeof(assay_suffix_attention_params));
  FIELD(assay_suffix_attention_params, struct_bytes);
  FIELD(assay_suffix_attention_params, queries);
  FIELD(assay_suffix_attention_params, keys);
  FIELD(assay_suffix_attention_params, values);
  FIELD(assay_suffix_attention_params, past_keys);
  FIELD(assay_suffix_attention_params, past_values);
  FIELD(assay_suffix_attention_params, prompts);
  FIELD(assay_suffix_attention_params, starts);
  FIELD(assay_suffix_attention_params, sequences);
  FIELD(assay_suffix_attention_params, positions);
  FIELD(assay_suffix_attention_params, heads);
  FIELD(assay_suffix_attention_params, scale);
  text += "\n";
  begin("assay_patch_rows_params", sizeof(assay_patch_rows_params));
  FIELD(assay_patch_rows_params, struct_bytes);
  FIELD(assay_patch_rows_params, live);
  FIELD(assay_patch_rows_params, bank);
  FIELD(assay_patch_rows_params, output);
  FIELD(assay_patch_rows_params, stream);
  FIELD(assay_patch_rows_params, rows);
  FIELD(assay_patch_rows_params, sources);
  FIELD(assay_patch_rows_params, count);
  FIELD(assay_patch_rows_params, heads);
  FIELD(assay_patch_rows_params, scale);
  FIELD(assay_patch_rows_params, bias);
  FIELD(assay_patch_rows_params, epsilon);
  FIELD(assay_patch_rows_params, norm);
  FIELD(assay_patch_rows_params, reserved);
  text += "\n";
  begin("assay_edge_scores_params", sizeof(assay_edge_scores_params));
  FIELD(assay_edge_scores_params, struct_bytes);
  FIELD(assay_edge_scores_params, changes);
  FIELD(assay_edge_scores_params, gradients);
  FIELD(assay_edge_scores_params, before);
  FIELD(assay_edge_scores_params, width);
  text += "\n";
#undef FIELD
  return text;
}

}  // namespace

extern "C" {

int32_t assay_abi_version(void) { return ASSAY_ABI_VERSION; }

const char* assay_build_id(void) {
  return "assay abi " ASSAY_TEXT(ASSAY_ABI_VERSION) ", " ASSAY_COMPILER
                                                    ", " ASSAY_TARGET ASSAY_KIND;
}

const char* assay_struct_layout(void) {
  try {
    static const std::string text = layout();
    return text.c_str();
  } catch (...) {
    return "";
  }
}

}  // extern "C"
