package task

// MarshalText writes String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name that ParseKind takes.
func (k *Kind) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKind(string(text))
	return err
}

// MarshalText writes String.
func (l LongText) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a name that ParseLongText takes.
func (l *LongText) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLongText(string(text))
	return err
}
