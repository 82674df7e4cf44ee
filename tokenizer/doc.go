// Package tokenizer converts text to BERT's token ids and back. It reproduces the BERT pipeline of huggingface/tokenizers id
// for id and byte offset for byte offset or, on request, google-research/bert tokenization.py where the two differ.
//
// # The pipeline
//
// Take "Él unwanted, [MASK]!" and an uncased vocabulary:
//
//	added tokens     Él unwanted,  · [MASK] · !      tokens that must stay whole are found first
//	normalize        el unwanted,                    clean · space out ideographs · strip accents · lower-case
//	split            el · unwanted · ,               at white space, and around each punctuation mark
//	WordPiece        el · un ##want ##ed · ,         greedy longest match, from the left
//	truncate         …                               to Options.MaxLength minus the special tokens
//	template         [CLS] el un ##want ##ed , [MASK] ! [SEP]
//
// Each token has the byte range of the original text that it stands for, so "el" is text[0:3], including the accent. A word
// that can't be split into pieces completely is [UNK] as a whole, and so is a word of more than 100 characters.
//
// Cleaning drops NUL, U+FFFD and control characters and replaces white space by blanks. ASCII 33–47, 58–64, 91–96 and
// 123–126 are all punctuation, including $, ^ and the backquote. Each CJK ideograph is a word. Stripping accents means
// decomposing (NFD) and dropping category Mn; Hangul syllables therefore become two or three letters with the same offset.
// Text that is not valid UTF-8 is a [UTF8Error] with its place.
//
// # HF and Google
//
// Config.Google selects Google's behaviour; Load selects it for a Google checkpoint.
//
//	                            HF (Rust, 0.23.2)               Google
//	special tokens in the text  stay whole                      are split: [ mask ]
//	longest word                100 characters                  200
//	lower-casing                after stripping, one character  before stripping, a word at a time:
//	                            at a time: Σ is always σ        Σ is ς at the end of a word
//	control characters          Cc, Cf, Co                      Cc, Cf
//	ideographs                  not U+2B820–2B91F               all of Extension E
//	Unicode                     categories 8.0, NFD 9.0,        15.0 (Python 3.12)
//	                            lower case 17.0
//	lines of vocab.txt          white space at the end          white space at both ends stripped
//	                            stripped
//	an empty second text        is a text: [CLS] a [SEP] [SEP]  is none: [CLS] a [SEP]
//	longest_first, odd room     the longer text gets more,      the first text gets more
//	                            or the second on a tie
//
// # Other pipelines
//
// A tokenizer.json may put other components around WordPiece, or WordLevel in its place. A second implementation carries those out,
// pass by pass, with the ids and offsets of HF's library (tokenizers 0.23.3), several times slower than BERT's own pipeline:
//
//	normalizers      BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, StripAccents, Strip, Prepend, Replace, Nmt, Sequence
//	pre-tokenizers   BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation, Digits, Split, CharDelimiterSplit, Sequence
//	models           WordPiece with any prefix, WordLevel
//	post-processors  BertProcessing, TemplateProcessing, RobertaProcessing, ByteLevel (trim_offsets), Sequence
//	decoders         WordPiece
//
// Any other component is an error that names it, and so is a regular expression that Go's regexp can't match exactly as Oniguruma
// does. A model that needs another kind of tokenizer, such as MeCab or SentencePiece, is a [KindError].
//
// The Unicode tables are part of this package and do not change with the Go release.
//
// # Learning a vocabulary
//
// [Learn] learns a vocabulary from texts and returns its tokenizer.
//
// # Guarantees
//
// Every text of less than 2 GiB that is valid UTF-8 can be encoded, in time linear in its length: marks are sorted by counting, and words beyond
// the maximal length are not looked up. A [Tokenizer] is safe for concurrent use. Encoding into a reused [Encoding] does not
// allocate, except for added tokens with Normalized. Nothing is truncated unless Options say so, and Encoding.Truncated
// reports how much was.
package tokenizer
