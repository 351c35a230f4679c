package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"parley/xep/upload"
)

// S3Config is about a bucket for files.
type S3Config struct {
	Endpoint   string `toml:"endpoint" doc:"Where the store is: https://s3.example.org. Empty: files are in the data directory."`
	Bucket     string `toml:"bucket" doc:"The bucket, which must be there."`
	Region     string `toml:"region" doc:"Its region."`
	Prefix     string `toml:"prefix" doc:"What the names of the files in the bucket begin with, as parley/."`
	AccessKey  string `toml:"access_key" doc:"The public half of the key."`
	SecretKey  Secret `toml:"secret_key" doc:"The secret half. It is not shown by config show."`
	SecretFile string `toml:"secret_key_file" doc:"A file that has the secret half, in the place of secret_key."`
	PathStyle  bool   `toml:"path_style" doc:"The bucket is in the path (https://s3.example.org/bucket), and not in the name of the host (https://bucket.s3.example.org)."`
}

func defaultS3() S3Config { return S3Config{Region: "us-east-1", PathStyle: true} }

// secret returns the secret half of the key.
func (c *S3Config) secret() (string, error) {
	if c.SecretFile == "" {
		return string(c.SecretKey), nil
	}
	text, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return "", err
	}
	if s := strings.TrimSpace(string(text)); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("%s is empty", c.SecretFile)
}

// shelf is where the files are.
func shelf(cfg Config) upload.Shelf {
	c := &cfg.S3
	if c.Endpoint == "" {
		return upload.NewDisk(filepath.Join(cfg.Data, "upload"))
	}
	secret, _ := c.secret() // without one the shelf says so
	return upload.NewS3(upload.S3Config{
		Endpoint: c.Endpoint, Region: c.Region, Bucket: c.Bucket, Prefix: c.Prefix, AccessKey: c.AccessKey, Secret: secret, HostStyle: !c.PathStyle,
	})
}

// checkS3 finds a bucket that could not be used.
func checkS3(cfg *Config) *badKey {
	c := &cfg.S3
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return bad("upload_s3.endpoint", "%q is no address of a store; write it as https://s3.example.org", c.Endpoint)
	}
	switch {
	case c.Bucket == "" || strings.Contains(c.Bucket, "/"):
		return bad("upload_s3.bucket", "%q is no bucket", c.Bucket)
	case c.Region == "":
		return bad("upload_s3.region", "a region is wanted; stores that have none take us-east-1")
	case strings.HasPrefix(c.Prefix, "/") || strings.Contains(c.Prefix, "..") || strings.Contains(c.Prefix, "//"):
		return bad("upload_s3.prefix", "%q is no beginning of a name; write it as parley/", c.Prefix)
	case c.AccessKey == "":
		return bad("upload_s3.access_key", "a key is wanted")
	case c.SecretKey != "" && c.SecretFile != "":
		return bad("upload_s3.secret_key_file", "there is a secret_key, too; one of them is enough")
	}
	if secret, err := c.secret(); err != nil {
		return bad("upload_s3.secret_key_file", "%v", err)
	} else if secret == "" {
		return bad("upload_s3.secret_key", "a key is wanted, here or in secret_key_file")
	}
	return nil
}
