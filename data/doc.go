// Package data reads data sets as [Example]s, and inputs for a model. It knows neither model nor tokenizer.
//
// It reads:
//
//   - tables in CSV, TSV and JSONL, with columns by name or by number ([ReadTable], [TableReader]);
//   - the Large Movie Review Dataset, its folder or its archive ([ReadIMDB]);
//   - the columns of CoNLL's shared tasks, in any of their tagging schemes ([ReadCoNLL]);
//   - SQuAD 1.1 and 2.0 ([ReadSQuAD]) and SWAG ([ReadSWAG]);
//   - GLUE's folders, each by its [Layout];
//   - inputs without labels, one a line, as text or as a JSON object ([InputReader]).
//
// All of them may be compressed by gzip, zstd, bzip2 or xz, and may begin with a byte order mark. Text that is not UTF-8 is decoded
// where TableOptions.Encoding names its encoding, and otherwise an [*EncodingError] with line and byte. Other compressed files and
// binary files are errors, and so is a compressed file that becomes far longer than text does. An error
// about a record is a [*SourceError], which names the file and the line; with TableOptions.SkipBad such records are counted
// instead. Nothing is guessed: a missing column, a label that isn't known and an answer that isn't in its context are errors.
// Labels that differ so little from a known one that they are probably the same are pointed out ([AlikeLabels]).
//
// [Draw] and [SplitValidation] take examples at random, by a seed and their content, so that the same data gives the same
// parts whatever its order.
package data
