package s2s

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Where weights decide, each is first as often as its weight says (RFC 2782).
func TestWeights(t *testing.T) {
	const rounds = 60000
	random := rand.New(rand.NewPCG(1, 2))
	first := map[string]int{}
	second := map[string]int{} // where a was first
	for range rounds {
		list := ordered([]record{
			{Target{Host: "a", Priority: 5}, 60}, {Target{Host: "b", Direct: true, Priority: 5}, 30}, {Target{Host: "c", Priority: 5}, 10},
			{Target{Host: "zero", Priority: 5}, 0}, {Target{Host: "late", Priority: 9}, 65535},
		}, random.IntN)
		first[list[0].Host]++
		if list[0].Host == "a" {
			second[list[1].Host]++
		}
		if list[4].Host != "late" {
			t.Fatal("a higher priority value came before a lower one")
		}
	}
	near := func(got, of int, want float64, what string) {
		t.Helper()
		if share := float64(got) / float64(of); math.Abs(share-want) > 0.01 {
			t.Errorf("%s: %.3f, not %.3f", what, share, want)
		}
	}
	// The running sum is compared with a number from 0 to 100, so that a weight of 0 has one of
	// 101 chances.
	near(first["a"], rounds, 60.0/101, "a first")
	near(first["b"], rounds, 30.0/101, "b first")
	near(first["c"], rounds, 10.0/101, "c first")
	near(first["zero"], rounds, 1.0/101, "weight 0 first")
	near(second["b"], first["a"], 30.0/41, "b second")
}

func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) record {
			return record{
				Target: Target{Priority: rapid.Uint16Range(0, 3).Draw(t, "priority")}, weight: rapid.Uint16().Draw(t, "weight"),
			}
		}), 0, 2*maxTargets).Draw(t, "records")
		for i := range records {
			records[i].Port = uint16(i) // to know them by
		}
		n := len(records)
		list := ordered(records, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
		if len(list) != min(n, maxTargets) {
			t.Fatalf("%d of %d", len(list), n)
		}
		seen := map[uint16]bool{}
		for _, target := range list {
			if seen[target.Port] {
				t.Fatal("one is there twice")
			}
			seen[target.Port] = true
		}
		if !slices.IsSortedFunc(list, func(a, b Target) int { return int(a.Priority) - int(b.Priority) }) {
			t.Fatal("priorities are out of order")
		}
	})
}
