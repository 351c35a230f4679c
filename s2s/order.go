package s2s

import (
	"cmp"
	"slices"
)

// A record is a target with the weight of its SRV record.
type record struct {
	Target
	weight uint16
}

// ordered puts the records in the order of RFC 2782: by priority, and within one by chance, in
// proportion to their weights. pick returns a number from 0 to below n.
func ordered(records []record, pick func(n int) int) (list []Target) {
	slices.SortStableFunc(records, func(a, b record) int {
		// Those with no weight come first, so that a sum of 0 chooses them at times.
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(min(a.weight, 1), min(b.weight, 1)))
	})
	for len(records) > 0 && len(list) < maxTargets {
		same, sum := 0, 0
		for same < len(records) && records[same].Priority == records[0].Priority {
			sum += int(records[same].weight)
			same++
		}
		at := 0
		for n, running := pick(sum+1), int(records[0].weight); running < n; running += int(records[at].weight) {
			at++
		}
		list = append(list, records[at].Target)
		records = slices.Delete(records, at, at+1)
	}
	return list
}
