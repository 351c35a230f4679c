package mam_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"parley/storage"
	"parley/xep/mam"
)

// TestNoScans: no statement of the reading side reads a table from its beginning, and those
// that are about one conversation use its index.
func TestNoScans(t *testing.T) {
	s := play(t, mam.Archive{})
	place := regexp.MustCompile(`\$(\d+)`)
	for name, q := range mam.Statements() {
		n := 0
		for _, m := range place.FindAllStringSubmatch(q, -1) {
			i, _ := strconv.Atoi(m[1])
			n = max(n, i)
		}
		args := make([]any, n)
		for i := range args {
			args[i] = 1
		}
		var plan []string
		err := s.Store.Read(t.Context(), func(tx *storage.Tx) error {
			return tx.Each("explain query plan "+q, args, func(r *storage.Row) error { plan = append(plan, r.Text(3)); return nil })
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, step := range plan {
			scan := strings.HasPrefix(step, "SCAN")
			switch {
			case strings.Contains(step, "VIRTUAL TABLE INDEX") && (name == "unindex" || strings.Contains(step, ":M")):
				// the index looks words up, or the number of a message
			case step == "SCAN p", step == "SCAN o", step == "SCAN k" && name == "last texts", strings.HasPrefix(step, "SCAN (subquery"), step == "SCAN CONSTANT ROW":
				// what a step before has found
			case scan && (name == "to index" || name == "leaving") && !strings.Contains(step, "kept"):
			case scan:
				t.Errorf("%s: %s", name, strings.Join(plan, "; "))
			case strings.Contains(step, "TEMP B-TREE"):
				t.Errorf("%s sorts: %s", name, strings.Join(plan, "; "))
			}
		}
		if strings.Contains(q, "from exchanged") && !strings.Contains(strings.Join(plan, ";"), "PRIMARY KEY (owner=? AND peer") {
			t.Errorf("%s does not use the index of a conversation: %s", name, strings.Join(plan, "; "))
		}
	}
}
