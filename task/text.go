package task

// MarshalText writes String; of ByExtension it is auto.
func (f Format) MarshalText() ([]byte, error) {
	if f == ByExtension {
		return []byte(autoFormat), nil
	}
	return []byte(f.String()), nil
}

// UnmarshalText reads csv, tsv, jsonl or auto, which is ByExtension.
func (f *Format) UnmarshalText(text []byte) (err error) {
	if string(text) == autoFormat {
		*f = ByExtension
		return nil
	}
	*f, err = ParseFormat(string(text))
	return err
}

// autoFormat is the name of ByExtension where a name is wanted.
const autoFormat = "auto"

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
