package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A KindError reports a model that needs a tokenizer of another kind.
type KindError struct {
	// Needs says what the model needs, such as "MeCab".
	Needs string
	// Because says what shows it: a key and its value, or the contents of a file.
	Because string
}

func (e *KindError) Error() string {
	return fmt.Sprintf("the model needs %s, which is not supported: %s", e.Needs, e.Because)
}

// The kinds of tokenizers that are not supported.
const (
	sentencePiece = "a SentencePiece tokenizer"
	bytePair      = "a byte-pair encoding (BPE) tokenizer"
	characterwise = "a tokenizer that splits words into characters"
)

// classes are the kinds of transformers' tokenizers that models with a vocab.txt name. "" is BertTokenizer's kind.
var classes = map[string]string{
	"BertTokenizer": "", "BertTokenizerLegacy": "", "DistilBertTokenizer": "", "ElectraTokenizer": "", "MobileBertTokenizer": "",
	"ConvBertTokenizer": "", "FunnelTokenizer": "", "LayoutLMTokenizer": "", "LxmertTokenizer": "", "RetriBertTokenizer": "",
	"SqueezeBertTokenizer": "", "SplinterTokenizer": "", "MPNetTokenizer": "", "RealmTokenizer": "", "NezhaTokenizer": "",
	"DPRQuestionEncoderTokenizer": "", "DPRContextEncoderTokenizer": "", "DPRReaderTokenizer": "", "PreTrainedTokenizer": "",
	"TokenizersBackend": "", "BertJapaneseTokenizer": "",

	"AlbertTokenizer": sentencePiece, "XLMRobertaTokenizer": sentencePiece, "CamembertTokenizer": sentencePiece,
	"T5Tokenizer": sentencePiece, "XLNetTokenizer": sentencePiece, "BigBirdTokenizer": sentencePiece, "RemBertTokenizer": sentencePiece,
	"BertGenerationTokenizer": sentencePiece, "DebertaV2Tokenizer": sentencePiece, "KoBertTokenizer": sentencePiece,
	"KoBERTTokenizer": sentencePiece, "LlamaTokenizer": sentencePiece,

	"RobertaTokenizer": bytePair, "GPT2Tokenizer": bytePair, "BartTokenizer": bytePair, "LongformerTokenizer": bytePair,
	"DebertaTokenizer": bytePair, "HerbertTokenizer": bytePair, "PhobertTokenizer": bytePair, "BertweetTokenizer": bytePair,
	"FlaubertTokenizer": bytePair, "XLMTokenizer": bytePair, "CLIPTokenizer": bytePair,

	"CanineTokenizer": characterwise,
}

// checkKind refuses the settings of another kind of tokenizer. whole says that a tokenizer.json describes the tokenizer.
func (s *settings) checkKind(whole bool) error {
	if s == nil {
		return nil
	}
	class := strings.TrimSuffix(s.Class, "Fast")
	words := s.WordTokenizer
	switch words {
	case "", "basic":
	default:
		needs := "Japanese words from " + clip(words)
		switch words {
		case "mecab":
			needs = "Japanese words from MeCab"
		case "sudachi":
			needs = "Japanese words from Sudachi"
		case "jumanpp":
			needs = "Japanese words from Juman++"
		}
		because := fmt.Sprintf("word_tokenizer_type is %q", clip(words))
		if s.Class != "" {
			because = fmt.Sprintf("tokenizer_class is %s, %s", clip(s.Class), because)
		}
		return &KindError{needs, because}
	}
	switch subword := s.SubwordTokenizer; subword {
	case "", "wordpiece":
	case "character":
		return &KindError{characterwise, `subword_tokenizer_type is "character"`}
	case "sentencepiece":
		return &KindError{sentencePiece, `subword_tokenizer_type is "sentencepiece"`}
	default:
		return &KindError{"pieces from " + clip(subword), fmt.Sprintf("subword_tokenizer_type is %q", clip(subword))}
	}
	if whole || class == "" {
		return nil
	}
	needs, known := classes[class]
	if needs != "" {
		return &KindError{needs, "tokenizer_class is " + clip(s.Class)}
	}
	if !known {
		s.note(NoteUnknownClass, "%s: tokenizer_class %q is not known; vocab.txt is read as BertTokenizer's", configFile, clip(s.Class))
	}
	return nil
}

// checkPieces refuses a vocab.txt that is another kind of tokenizer's.
func checkPieces(tokens []string) error {
	var marked, byteLevel, ends, counted, continuing int
	for _, s := range tokens {
		switch {
		case strings.HasPrefix(s, "##"):
			continuing++
		case strings.HasPrefix(s, "▁"):
			marked++
		case strings.HasPrefix(s, "Ġ"):
			byteLevel++
		case strings.HasSuffix(s, "</w>") || strings.HasSuffix(s, "@@"):
			ends++
		}
		if _, count, ok := strings.Cut(s, " "); ok && count != "" && strings.Trim(count, "0123456789") == "" {
			counted++
		}
	}
	few := 8 + len(tokens)/8
	switch {
	case continuing > few:
	case marked > few:
		return &KindError{sentencePiece, fmt.Sprintf("%d of the %d tokens begin with ▁, which SentencePiece puts before words", marked, len(tokens))}
	case byteLevel > few:
		return &KindError{"byte-level BPE", fmt.Sprintf("%d of the %d tokens begin with Ġ, which it puts for a blank", byteLevel, len(tokens))}
	case ends > few:
		return &KindError{bytePair, fmt.Sprintf("%d of the %d tokens end with </w> or @@, which BPE marks words with", ends, len(tokens))}
	case counted > len(tokens)/2 && len(tokens) > 8:
		return &KindError{bytePair, fmt.Sprintf("%d of the %d lines are a token and a number, as in the dictionaries of fairseq", counted, len(tokens))}
	}
	return nil
}

// otherFiles says which tokenizer a folder without vocab.txt and tokenizer.json has.
func otherFiles(dir string) error {
	has := func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular()
	}
	for _, name := range []string{"spiece.model", "sentencepiece.bpe.model", "spm.model", "tokenizer.model", "sentencepiece.model"} {
		if has(name) {
			return &KindError{sentencePiece, dir + " has " + name + ", but no vocab.txt"}
		}
	}
	if has("vocab.json") && has("merges.txt") {
		return &KindError{bytePair, dir + " has vocab.json and merges.txt, but no vocab.txt"}
	}
	return nil
}
