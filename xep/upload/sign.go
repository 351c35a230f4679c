package upload

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Times and names of AWS Signature Version 4, which is how requests to S3 and what is like it
// are proved.
const (
	amzTime   = "20060102T150405Z"
	amzDay    = "20060102"
	algorithm = "AWS4-HMAC-SHA256"
	unsigned  = "UNSIGNED-PAYLOAD" // the body is protected by TLS: its hash is not known before it has come
)

// A signer proves requests.
type signer struct{ access, secret, region string }

// sign adds what proves a request to S3: of its path, its query and all headers that it has by
// then.
func (k signer) sign(r *http.Request, payload string, now time.Time) {
	at := now.UTC().Format(amzTime)
	r.Header.Set("X-Amz-Date", at)
	r.Header.Set("X-Amz-Content-Sha256", payload)
	names, headers := signedHeaders(r)
	canonical := strings.Join([]string{r.Method, escapePath(r.URL.Path), canonicalQuery(r.URL.Query()), headers, names, payload}, "\n")
	scope := at[:len(amzDay)] + "/" + k.region + "/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical))
	text := algorithm + "\n" + at + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4" + k.secret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	r.Header.Set("Authorization", algorithm+" Credential="+k.access+"/"+scope+",SignedHeaders="+names+",Signature="+hex.EncodeToString(mac(key, text)))
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// signedHeaders returns the names of all headers, and a line for each.
func signedHeaders(r *http.Request) (names, lines string) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	values := map[string]string{"host": host}
	list := []string{"host"}
	for name, v := range r.Header {
		name = strings.ToLower(name)
		list = append(list, name)
		values[name] = strings.Join(strings.Fields(strings.Join(v, ",")), " ")
	}
	slices.Sort(list)
	for _, name := range list {
		lines += name + ":" + values[name] + "\n"
	}
	return strings.Join(list, ";"), lines
}

func canonicalQuery(q url.Values) string {
	var list []string
	for name, values := range q {
		for _, v := range values {
			list = append(list, escapeText(name)+"="+escapeText(v))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "&")
}

// escapePath percent-encodes the segments of a path, once.
func escapePath(p string) string {
	if p == "" {
		return "/"
	}
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = escapeText(parts[i])
	}
	return strings.Join(parts, "/")
}

// escapeText percent-encodes all but what RFC 3986 calls unreserved.
func escapeText(s string) string {
	return strings.NewReplacer("+", "%20").Replace(url.QueryEscape(s))
}
