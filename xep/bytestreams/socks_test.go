package bytestreams

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// a wire has what comes, and keeps what goes.
type wire struct {
	io.Reader
	out bytes.Buffer
}

func (w *wire) Write(p []byte) (int, error) { return w.out.Write(p) }

// FuzzSOCKS: whatever comes, somebody who is let in has shown a hash, and was told no more than
// that; and nothing is read beyond.
func FuzzSOCKS(f *testing.F) {
	hash := strings.Repeat("0a", 20)
	for _, s := range []string{"", "\x05\x01\x00", "\x05\x01\x00\x05\x01\x00\x03\x28" + hash + "\x00\x00", "\x05\xff\x00", "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x01\x00\x05\x01\x00\x03\x28" + strings.ToUpper(hash) + "\x00\x00rest"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		w := &wire{Reader: r}
		shown, accept, err := greet(w)
		if w.out.Len() > 2+4+1+255+2 {
			t.Fatalf("%d bytes of answer", w.out.Len())
		}
		if err != nil {
			return
		}
		if len(shown) != 40 || strings.Trim(shown, "0123456789abcdef") != "" {
			t.Fatalf("%q was let in", shown)
		}
		if err := accept(true); err != nil {
			t.Fatal(err)
		}
		read := len(in) - r.Len()
		answer := w.out.Bytes()
		if !bytes.HasPrefix(answer, []byte{5, 0, 5, 0, 0, 3, 40}) || len(answer) != 2+5+40+2 || !bytes.Equal(answer[6:], in[read-43:read]) {
			t.Fatalf("%q is answered with %q", in, answer)
		}
	})
}
