package pretrain

// lengthBins is the number of bins of the histogram of lengths, from 1 to MaxSeqLength tokens.
const lengthBins = 16

// Stats are counts of a text and its instances. Those of a set are the sums over its groups.
type Stats struct {
	// The documents, sentences and bytes of the text, without duplication.
	Documents int64 `json:"documents"`
	Sentences int64 `json:"sentences"`
	TextBytes int64 `json:"text_bytes"`
	// TextTokens is the number of pieces, UnknownTokens that of [UNK] among them.
	TextTokens    int64 `json:"text_tokens"`
	UnknownTokens int64 `json:"unknown_tokens"`
	// CutDocuments is the number of continuations of documents longer than a group.
	CutDocuments int64 `json:"cut_documents"`

	Instances int64 `json:"instances"`
	// Tokens of the instances, including [CLS] and [SEP]. In a dynamic set, MaskedTokens is the maximum for an epoch.
	Tokens       int64 `json:"tokens"`
	MaskedTokens int64 `json:"masked_tokens"`
	RandomNext   int64 `json:"random_next"`
	// Short is the number of instances with a target length below the maximum.
	Short int64 `json:"short"`
	// TruncatedTokens is the number of tokens that did not fit into their pair.
	TruncatedTokens int64 `json:"truncated_tokens"`
	// Lengths is the histogram of the instances' lengths: bin i counts lengths above i/16 and at most (i+1)/16 of MaxSeqLength.
	Lengths [lengthBins]int64 `json:"lengths"`
}

func (s *Stats) add(other *Stats) {
	s.Documents += other.Documents
	s.Sentences += other.Sentences
	s.TextBytes += other.TextBytes
	s.TextTokens += other.TextTokens
	s.UnknownTokens += other.UnknownTokens
	s.CutDocuments += other.CutDocuments
	s.Instances += other.Instances
	s.Tokens += other.Tokens
	s.MaskedTokens += other.MaskedTokens
	s.RandomNext += other.RandomNext
	s.Short += other.Short
	s.TruncatedTokens += other.TruncatedTokens
	for i, n := range other.Lengths {
		s.Lengths[i] += n
	}
}

// Summary describes a set in numbers: summary.json.
type Summary struct {
	Stats
	Groups int `json:"groups"`
	// The shares are 0 if the whole is 0.
	UnknownShare    float64 `json:"unknown_share"`     // of the text's tokens
	RandomNextShare float64 `json:"random_next_share"` // of the instances
	ShortShare      float64 `json:"short_share"`       // of the instances
	MaskedShare     float64 `json:"masked_share"`      // of the instances' tokens
	MeanLength      float64 `json:"mean_length"`       // of the instances, in tokens
	FillShare       float64 `json:"fill_share"`        // Tokens, as a share of those of instances of full length
}

func summarise(s Stats, groups, maxSeqLength int) *Summary {
	share := func(part, whole int64) float64 { return float64(part) / float64(max(whole, 1)) }
	return &Summary{
		Stats: s, Groups: groups,
		UnknownShare:    share(s.UnknownTokens, s.TextTokens),
		RandomNextShare: share(s.RandomNext, s.Instances),
		ShortShare:      share(s.Short, s.Instances),
		MaskedShare:     share(s.MaskedTokens, s.Tokens),
		MeanLength:      share(s.Tokens, s.Instances),
		FillShare:       share(s.Tokens, s.Instances*int64(maxSeqLength)),
	}
}
