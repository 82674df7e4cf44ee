// Package pretrain makes BERT's pre-training data from documents (paper §3.1, appendix A.1; google-research/bert
// create_pretraining_data.py): sequences of two segments with masked tokens, in files that training maps into memory. It also
// evaluates pre-trained models.
package pretrain
