package tokenizer

import "testing"

func TestLowerCase(t *testing.T) {
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"}
	c := DefaultConfig()
	c.LowerCase = false
	tok, err := New(vocab, c)
	if err != nil {
		t.Fatal(err)
	}
	google, err := New(vocab, GoogleConfig(false)) // which has no added tokens
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ text, want, google string }{
		{"", "", ""},
		{"A [MASK] and a [mask]", "a [MASK] and a [mask]", "a [mask] and a [mask]"},
		{"ÜBERMÄSSIG ΣΊΣΥΦΟΣ", "übermässig σίσυφοσ", "übermässig σίσυφοσ"}, // no final sigma, as in HF's library
		{"İI", "i\u0307i", "i\u0307i"},
		{"É\xffÉ", "é\xffé", "é\xffé"},
		{"ſ K 中文 😀", "ſ k 中文 😀", "ſ k 中文 😀"},
	} {
		if got := tok.LowerCase(test.text); got != test.want {
			t.Errorf("%q becomes %q, want %q", test.text, got, test.want)
		}
		if got := google.LowerCase(test.text); got != test.google {
			t.Errorf("%q becomes %q in Google's mode, want %q", test.text, got, test.google)
		}
	}
}
