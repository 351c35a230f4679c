package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// S3Config says where a bucket is.
type S3Config struct {
	Endpoint  string // https://s3.example.org
	Region    string // "": us-east-1
	Bucket    string
	Prefix    string // of the names of objects, as uploads/
	AccessKey string
	Secret    string
	HostStyle bool             // the bucket is a part of the host's name, and not of the path
	Now       func() time.Time // nil: time.Now
	Client    *http.Client     // nil: one of its own
}

// An S3 is a shelf in a bucket of a store that speaks S3. Files come and go through this server,
// which keeps what it has promised about them: nobody else needs to reach the store.
type S3 struct {
	cfg    S3Config
	base   *url.URL
	key    signer
	client *http.Client
	wrong  error
}

// Patience with a store.
const (
	dialWithin   = 10 * time.Second
	answerWithin = time.Minute // from the end of a request to the header of the answer
	maxSaid      = 4 << 10     // bytes of an error that are read
)

// NewS3 returns a shelf in a bucket. Begin says what is wrong with the configuration.
func NewS3(cfg S3Config) *S3 {
	s := &S3{cfg: cfg, client: cfg.Client}
	if s.cfg.Region == "" {
		s.cfg.Region = "us-east-1"
	}
	if s.cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	if s.client == nil {
		s.client = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialWithin}).DialContext, TLSHandshakeTimeout: dialWithin,
			ResponseHeaderTimeout: answerWithin, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 32, DisableCompression: true,
			WriteBufferSize: copyBytes, ReadBufferSize: copyBytes,
		}}
	}
	client := *s.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the proof is for one place
	s.client = &client
	s.key = signer{cfg.AccessKey, cfg.Secret, s.cfg.Region}
	s.base, s.wrong = url.Parse(cfg.Endpoint)
	if s.wrong == nil && (s.base.Host == "" || cfg.Bucket == "" || cfg.AccessKey == "" || cfg.Secret == "") {
		s.wrong = errors.New("upload: S3 needs an endpoint, a bucket and keys")
	}
	return s
}

// Begin implements Shelf. An object is there as a whole or not at all, so nothing is left half
// done.
func (s *S3) Begin() error { return s.wrong }

// request makes a request about a file.
func (s *S3) request(ctx context.Context, method, id string, body io.Reader, header ...string) (*http.Request, error) {
	u := *s.base
	name := s.cfg.Prefix + id[:2] + "/" + id // as on a Disk, so that one can be copied to the other
	if s.cfg.HostStyle {
		u.Host = s.cfg.Bucket + "." + u.Host
	} else {
		name = s.cfg.Bucket + "/" + name
	}
	u.Path = strings.TrimRight(u.Path, "/") + "/" + name
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	s.key.sign(r, unsigned, s.cfg.Now())
	return r, nil
}

// do sends a request and wants one of these answers. The body is the caller's to close where err
// is nil.
func (s *S3) do(r *http.Request, wants ...int) (*http.Response, error) {
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	for _, status := range wants {
		if resp.StatusCode == status {
			return resp, nil
		}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound && r.Method != http.MethodPut {
		return nil, fs.ErrNotExist
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxSaid))
	return nil, fmt.Errorf("upload: S3 answers %s to %s: %.300q", resp.Status, r.Method, said)
}

// Put implements Shelf.
func (s *S3) Put(ctx context.Context, id string, size int64, from io.Reader) error {
	r, err := s.request(ctx, http.MethodPut, id, io.NopCloser(io.LimitReader(from, size)))
	if err != nil {
		return err
	}
	r.ContentLength = size
	resp, err := s.do(r, http.StatusOK)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Open implements Shelf. Each read behind a seek is a request for what stands there.
func (s *S3) Open(ctx context.Context, id string, size int64) (io.ReadSeekCloser, error) {
	r, err := s.request(ctx, http.MethodHead, id, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.do(r, http.StatusOK)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	if resp.ContentLength != size {
		return nil, fmt.Errorf("upload: the object %s has another size than it had", id)
	}
	return &object{s: s, ctx: ctx, id: id, size: size}, nil
}

// Remove implements Shelf.
func (s *S3) Remove(ctx context.Context, id string) error {
	r, err := s.request(ctx, http.MethodDelete, id, nil)
	if err != nil {
		return err
	}
	resp, err := s.do(r, http.StatusNoContent, http.StatusOK)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Strays implements Shelf: what is in a bucket is not looked through.
func (s *S3) Strays(context.Context, func([]string) (map[string]bool, error)) (int, error) {
	return 0, nil
}

// An object reads a file of a bucket.
type object struct {
	s        *S3
	ctx      context.Context
	id       string
	size, at int64
	body     io.ReadCloser // from at on; nil: nobody has asked yet
}

// Read implements io.Reader.
func (o *object) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if o.body == nil {
		header, want := []string{}, http.StatusOK
		if o.at > 0 {
			header, want = []string{"Range", fmt.Sprintf("bytes=%d-%d", o.at, o.size-1)}, http.StatusPartialContent
		}
		r, err := o.s.request(o.ctx, http.MethodGet, o.id, nil, header...)
		if err != nil {
			return 0, err
		}
		resp, err := o.s.do(r, want)
		if err != nil {
			return 0, err
		}
		o.body = resp.Body
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	if err == io.EOF && o.at < o.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Seek implements io.Seeker.
func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, errors.New("upload: a file begins at its beginning")
	}
	if offset != o.at {
		o.Close()
	}
	o.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (o *object) Close() error {
	if o.body == nil {
		return nil
	}
	err := o.body.Close()
	o.body = nil
	return err
}
