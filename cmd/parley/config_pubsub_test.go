package main

import (
	"strings"
	"testing"
)

// TestWhereServicesCannotBe: the domains of services are nobody else's.
func TestWhereServicesCannotBe(t *testing.T) {
	for config, want := range map[string]string{
		"[pubsub]\nprefix = \"conference\"":                                           "is where the rooms are",
		"[pubsub]\nprefix = \"not a name\"":                                           "is no domain",
		"domains = [\"a.example\", \"pubsub.a.example\"]":                             "is one of the domains",
		"[pubsub]\ncreate = \"everybody\"":                                            "is none of local, anyone and admins",
		"[pubsub]\nmax_items = 0":                                                     "is not between",
		"[component.\"pubsub.localhost\"]\nsecret = \"0123456789012345678901234567\"": "is a component's",
	} {
		if _, err := load(t, config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
}
