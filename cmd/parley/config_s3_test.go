package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhereFilesCannotBe: services, buckets and limits that make no sense.
func TestWhereFilesCannotBe(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	store := "[upload_s3]\nendpoint = \"https://s3.example\"\n"
	keys := "bucket = \"b\"\naccess_key = \"a\"\n"
	for config, want := range map[string]string{
		"[upload]\nprefix = \"pubsub\"":                              "is where another service is",
		"[upload]\nprefix = \"not a name\"":                          "is no domain",
		"domains = [\"a.example\", \"upload.a.example\"]":            "is one of the domains",
		"[upload]\nmax_size = 0":                                     "is not between",
		"[upload]\nretention = \"1m\"":                               "less than an hour",
		"[upload]\nslot_lifetime = \"1s\"":                           "is not between",
		"[upload]\nallow = [\"@\"]":                                  "is no domain",
		"[file_proxy]\nprefix = \"upload\"":                          "is where another service is",
		"[file_proxy]\nlisten = [\"x\"]":                             "is no address",
		"[file_proxy]\nhost = \"a b\"":                               "neither a name nor an address",
		"[file_proxy]\nidle = \"1ms\"":                               "less than a second",
		"[file_proxy]\nport = 70000":                                 "is not between",
		"[upload_s3]\nendpoint = \"s3.example\"":                     "is no address of a store",
		store:                                                        "is no bucket",
		store + "bucket = \"b\"":                                     "a key is wanted",
		store + keys:                                                 "here or in secret_key_file",
		store + keys + "secret_key_file = \"/none\"":                 "no such file",
		store + keys + "secret_key_file = \"" + empty + "\"":         "is empty",
		store + keys + "secret_key_file = \"x\"\nsecret_key = \"s\"": "one of them is enough",
		store + keys + "secret_key = \"s\"\nprefix = \"/a\"":         "is no beginning of a name",
		store + keys + "secret_key = \"s\"\nregion = \"\"":           "a region is wanted",
	} {
		if _, err := load(t, config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
	if cfg, err := load(t, store+keys+"secret_key = \"s\""); err != nil || shelf(cfg).Begin() != nil {
		t.Errorf("%v", err)
	}
}
