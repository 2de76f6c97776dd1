// Checks of the arguments that every implementation reads on the host: structs, shapes, types and
// numbers; not what arrays hold.
#pragma once

#include "support.h"

namespace assay {

void check_head(const char* f, const assay_head_rows_params* a);
void check_swap(const char* f, const assay_token_swap_topk_params* a);
void check_fourier(const char* f, const assay_fourier_ablate_params* a);
void check_adamw(const char* f, const assay_adamw_params* a, const assay_matrix* gradients,
                 const assay_matrix* parameters, const assay_matrix* first,
                 const assay_matrix* second);
void check_attention(const char* f, const assay_suffix_attention_params* a);
// Where there are sequences.
void check_attention_past(const char* f, const assay_suffix_attention_params& a);
void check_patch(const char* f, const assay_patch_rows_params* a);
void check_patched(const char* f, const assay_patch_rows_params& a, const assay_matrix* middle,
                   const assay_matrix* normed);
void check_edges(const char* f, const assay_edge_scores_params* a);

// Whether the head is the embedding itself.
inline bool tied(const assay_token_swap_topk_params& a) { return a.head.data == nullptr; }

}  // namespace assay
