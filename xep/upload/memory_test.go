package upload_test

import (
	"io"
	"net/http"
	"runtime"
	"testing"
)

// zeros is a file of which there is nothing in memory.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(int64(len(p)), z.left)
	if n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

// TestConstantMemory puts and gets 64 MiB, with what is allocated on both sides of the connection
// counted: no file is in memory.
func TestConstantMemory(t *testing.T) {
	const size, most = 64 << 20, 2 << 20
	h := open(t, nil)
	s := gives(h.Connected(romeo), "large.bin", size, "", "")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	measure := func(what string, fn func()) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fn()
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > most {
			t.Errorf("%s of %d MiB allocates %d KiB", what, size>>20, used>>10)
		}
	}
	measure("PUT", func() {
		r, err := http.NewRequest("PUT", s.put, &zeros{size})
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = size
		resp, err := client.Do(r)
		if err != nil || resp.StatusCode != 201 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	})
	measure("GET", func() {
		resp, err := client.Get(s.get)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	})
}

// BenchmarkUpload puts and gets files of 64 KiB, which pictures often are.
func BenchmarkUpload(b *testing.B) {
	h := open(b, nil)
	set := *h.set.Load()
	set.Daily, set.Kept, set.Files = -1, -1, 1<<30
	h.set.Store(&set)
	a := h.Connected(romeo)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	b.SetBytes(64 << 10)
	for b.Loop() {
		s := gives(a, "a.png", 64<<10, "image/png", "")
		r, _ := http.NewRequest("PUT", s.put, &zeros{64 << 10})
		r.ContentLength = 64 << 10
		for _, r := range []*http.Request{r, must(http.NewRequest("GET", s.get, nil))} {
			resp, err := client.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return r
}
