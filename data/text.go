package data

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
