package pretrain

// lengthBins is the number of bins of the histogram of lengths, from 1 to MaxSeqLength tokens.
const lengthBins = 16

// Stats count what became of a text. Those of a set are the sums of its groups'.
type Stats struct {
	// Documents, sentences and tokens of the text, none of them duplicated.
	Documents int64 `json:"documents"`
	Sentences int64 `json:"sentences"`
	TextBytes int64 `json:"text_bytes"`
	// TextTokens counts pieces, UnknownTokens those that are [UNK].
	TextTokens    int64 `json:"text_tokens"`
	UnknownTokens int64 `json:"unknown_tokens"`
	// CutDocuments were longer than a group and go on as further documents.
	CutDocuments int64 `json:"cut_documents"`

	Instances int64 `json:"instances"`
	// Tokens of the instances, [CLS] and [SEP] included. MaskedTokens are, in a dynamic set, those of an epoch at most.
	Tokens       int64 `json:"tokens"`
	MaskedTokens int64 `json:"masked_tokens"`
	RandomNext   int64 `json:"random_next"`
	// Short instances were made with a target length below the maximum.
	Short int64 `json:"short"`
	// TruncatedTokens did not fit into the pair that they were drawn for.
	TruncatedTokens int64 `json:"truncated_tokens"`
	// Lengths is the histogram of the instances' lengths: bin i has those above i/16 of MaxSeqLength, at most (i+1)/16.
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

// Summary is what a set is, in numbers: summary.json.
type Summary struct {
	Stats
	Groups int `json:"groups"`
	// Shares, 0 where there is nothing to share out.
	UnknownShare    float64 `json:"unknown_share"`     // of the text's tokens
	RandomNextShare float64 `json:"random_next_share"` // of the instances
	ShortShare      float64 `json:"short_share"`       // of the instances
	MaskedShare     float64 `json:"masked_share"`      // of the instances' tokens
	MeanLength      float64 `json:"mean_length"`       // of the instances, in tokens
	FillShare       float64 `json:"fill_share"`        // of the tokens that instances of full length would have
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
