package tokenizer

import "strings"

// decoder is HF's WordPiece decoder, or no decoder at all, in which case tokens are joined with blanks.
type decoder struct {
	prefix    string
	cleanup   bool
	wordPiece bool
}

// untidy are the replacements by which cleanup removes blanks, in order.
var untidy = [...]struct{ old, new string }{
	{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
	{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
}

// Decode joins tokens to a text, as HF's WordPiece decoder does: pieces that continue a word are attached, other tokens are
// preceded by a blank, and the blank before . ? ! , and before n't 'm 's 've 're is dropped. The effects of normalization
// remain: even an added token with Normalized is written in its normalized form. skipSpecial omits the special tokens,
// including [UNK]; ids without a token are always omitted.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	var b strings.Builder
	first := true
	for _, id := range ids {
		s, ok := t.Token(id)
		if !ok || skipSpecial && t.special[id] {
			continue
		}
		if w, ok := t.written[id]; ok {
			s = w
		}
		t.decoder.write(&b, s, first)
		first = false
	}
	return b.String()
}

func (d *decoder) write(b *strings.Builder, token string, first bool) {
	if !d.wordPiece {
		if !first {
			b.WriteByte(' ')
		}
		b.WriteString(token)
		return
	}
	blank := false
	if !first {
		if tail, ok := strings.CutPrefix(token, d.prefix); ok {
			token = tail
		} else {
			blank = true
		}
	}
	switch {
	case d.cleanup && strings.Contains(token, " "):
		// Only an added token can contain a blank. HF cleans each token by itself.
		if blank {
			token = " " + token
		}
		for _, u := range untidy {
			token = strings.ReplaceAll(token, u.old, u.new)
		}
	case blank && !(d.cleanup && dropsBlank(token)):
		b.WriteByte(' ')
	}
	b.WriteString(token)
}

// dropsBlank reports whether cleanup drops the blank before a token that contains none.
func dropsBlank(token string) bool {
	if token == "" {
		return false
	}
	switch token[0] {
	case '.', '?', '!', ',', '\'', 'n':
	default:
		return false
	}
	for _, u := range untidy {
		if u.old[1:] == u.new && strings.HasPrefix(token, u.new) {
			return true
		}
	}
	return false
}

// DecodeTokens joins tokens to a text as Decode does those of ids. They need not be in the vocabulary.
func (t *Tokenizer) DecodeTokens(tokens []string) string {
	var b strings.Builder
	for i, s := range tokens {
		t.decoder.write(&b, s, i == 0)
	}
	return b.String()
}
