package golden

import (
	"fmt"
	"path/filepath"
	"regexp"
)

// Skip is why a Golden test is skipped: nothing matches Path. As text it is the test's message.
type Skip struct {
	Path     string
	Root     string // the folder of Path that Variable names; "" where other goldens may be without Path
	Variable string
}

func (s Skip) String() string {
	if s.Root == "" {
		return "no reference data at " + s.Path
	}
	return fmt.Sprintf("no reference data at %s in %s (set %s)", s.Path, s.Root, s.Variable)
}

var skipText = regexp.MustCompile(`no reference data at (.*?)(?: in (.*) \(set (BERT_\w+)\))?(?:\n|$)`)

// ParseSkip finds the reason in what a test has written. ok is false where there is none.
func ParseSkip(text string) (s Skip, ok bool) {
	m := skipText.FindStringSubmatch(text)
	if m == nil {
		return Skip{}, false
	}
	return Skip{m[1], m[2], m[3]}, true
}

// Check returns an error if there is data that the test could have used: if it was skipped though something is at Path, or
// though the folder that would hold it is there. Then it is rather the path that is wrong. Of $BERT_GOLDENS, which may hold
// a part of the goldens, only Path itself is asked for.
func (s Skip) Check() error {
	found, err := filepath.Glob(s.Path)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s is there", found[0])
	}
	if holder := filepath.Dir(s.Path); s.Variable == "BERT_SHARED" && holder != s.Root && exists(holder) {
		return fmt.Errorf("%s is there, but has no %s", holder, filepath.Base(s.Path))
	}
	return nil
}
