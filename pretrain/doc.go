// Package pretrain makes the data that BERT is pre-trained on (paper §3.1, appendix A.1; google-research/bert
// create_pretraining_data.py): from documents to sequences of two segments with masked tokens, in files that training reads
// in place.
package pretrain
