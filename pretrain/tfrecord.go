package pretrain

import (
	"errors"
	"io"
)

func (s *instances) writeTFRecord(w io.Writer, o *Options) error { return errors.New("not yet") }
