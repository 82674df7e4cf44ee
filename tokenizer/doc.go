// Package tokenizer turns text into the ids that BERT reads, and back: huggingface/tokenizers' BERT pipeline id for id
// and byte offset for byte offset, and google-research/bert tokenization.py where the two differ.
//
// # The pipeline
//
// Take "Él unwanted, [MASK]!" and an uncased vocabulary:
//
//	added tokens     Él unwanted,  · [MASK] · !      what must stay whole is found first
//	normalize        el unwanted,                    clean · space out ideographs · strip accents · lower-case
//	split            el · unwanted · ,               at white space, and around each punctuation mark
//	WordPiece        el · un ##want ##ed · ,         greedily the longest piece, from the left
//	truncate         …                               to Options.MaxLength, less the special tokens
//	template         [CLS] el un ##want ##ed , [MASK] ! [SEP]
//
// Each token keeps the bytes of the original text that it stands for, so "el" is text[0:3], accent and all. A word with
// a part that no piece fits is [UNK] as a whole, and so is a word of more than 100 characters.
//
// Cleaning drops NUL, U+FFFD and control characters and takes any white space for a blank. ASCII 33–47, 58–64, 91–96
// and 123–126 all are punctuation here, $ and ^ and the back-tick among them. Each CJK ideograph is a word. Stripping
// accents means decomposing (NFD) and dropping category Mn; Hangul syllables therefore become two or three letters with
// one and the same offset. Bytes that are not UTF-8 count as U+FFFD each, so cleaning drops them.
//
// # HF and Google
//
// Config.Google asks for Google's code, Load does so for a Google checkpoint.
//
//	                            HF (Rust, 0.23.2)               Google
//	special tokens in the text  stay whole                      are split: [ mask ]
//	longest word                100 characters                  200
//	lower-casing                after stripping, one character  before stripping, a word at a time:
//	                            at a time: Σ is always σ        Σ is ς at its end
//	control characters          Cc, Cf, Co                      Cc, Cf
//	ideographs                  not U+2B820–2B91F               all of Extension E
//	Unicode                     categories 8.0, NFD 9.0,        15.0 (Python 3.12)
//	                            lower case 17.0
//	lines of vocab.txt          as they are                     white space at both ends stripped
//	longest_first, odd room     the longer text gets more,      the first text gets more
//	                            the second on a tie
//
// The Unicode tables are part of this package and do not change with the Go release.
//
// # Learning a vocabulary
//
// [Learn] makes a tokenizer for texts that none fits, from the texts alone.
//
// # Promises
//
// No text fails or panics, and none costs more than its length: marks are sorted by counting, and words are cut off at
// the longest length that is looked up. A [Tokenizer] is safe for concurrent use. An [Encoding] that is used again
// allocates nothing (added tokens with Normalized set aside). Nothing is truncated unless Options say so, and
// Encoding.Truncated tells how much was.
package tokenizer
