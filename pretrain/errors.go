package pretrain

import "errors"

// Errors to which a caller may want to add advice, such as which of its own options to change. Test for them with errors.Is.
var (
	// ErrMemory is returned if Job.Memory is too small for one group of documents.
	ErrMemory = errors.New("not enough memory for a group of documents")
	// ErrOneDocument is returned if next-sentence prediction finds only one document in the corpus, or in a group of it.
	ErrOneDocument = errors.New("only one document, and none to take a random next sentence from")
	// ErrExists is returned if Job.Dir holds instances and Job.Resume is not set.
	ErrExists = errors.New("holds instances")
	// ErrIncomplete is returned by Open for a set whose Job has not ended.
	ErrIncomplete = errors.New("the instances are incomplete")
	// ErrNoInstances is returned by Open for a folder without instances.
	ErrNoInstances = errors.New("no instances")
)

// An OptionError reports an option that is out of range.
type OptionError struct {
	Option  string // its name in JSON: "max_seq_length"
	Problem string // "is 3, want 5 to 65535"
}

func (e *OptionError) Error() string { return e.Option + " " + e.Problem }
